// SPDX-License-Identifier: Apache-2.0
#include "server/config_effects.h"

#include <fmt/format.h>

#include "server/process.h"
#include "server/server.h"

namespace redynamo {
namespace {

// Beside the clients' sockets: RocksDB's files, the log's, listening sockets.
constexpr uint64_t kFilesBesideClients = 64;

Status AllowOpenFiles(const Config& now) {
  uint64_t wanted = uint64_t(now.maxclients) + kFilesBesideClients;
  uint64_t allowed = RaiseOpenFilesLimit(wanted);
  if (allowed >= wanted) return Status::Ok();
  return InvalidArgument(fmt::format(
      "The operating system is not able to handle the specified number of clients, try with {}",
      allowed > kFilesBesideClients ? allowed - kFilesBesideClients : 1));
}

}  // namespace

void InstallConfigEffects(Server& server) {
  server.settings().OnChange({"maxclients"}, AllowOpenFiles);
  // Without a password, clients that had not given it yet are in. With a new one, those who were in
  // stay in, as in Redis.
  server.settings().OnChange({"requirepass"}, [&server](const Config& now) {
    if (!now.requirepass.empty()) return Status::Ok();
    for (const auto& [id, session] : server.clients().all()) session->authenticated = true;
    return Status::Ok();
  });
}

}  // namespace redynamo
