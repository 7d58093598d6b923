// SPDX-License-Identifier: Apache-2.0
#include "server/startup.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "base/version.h"
#include "server/command_families.h"
#include "server/config.h"
#include "server/exit_code.h"
#include "server/process.h"
#include "server/server.h"
#include "server/tsc_clock.h"
#include "server/uv_loop.h"

namespace redynamo {
namespace {

// Beside the clients: RocksDB's files, the log's, sockets that listen.
constexpr uint64_t kFilesBesideClients = 1024;
constexpr uint64_t kFilesBesideClientsMin = 64;

std::string ReadStandardInput() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

std::string_view DurabilityText(AppendFsync mode) {
  switch (mode) {
    case AppendFsync::kAlways: return "every answered write is on disk (appendfsync always)";
    case AppendFsync::kEverySecond:
      return "survives a crash of this process; a power cut may take the last second "
             "(appendfsync everysec)";
    case AppendFsync::kNo:
      return "survives a crash of this process; the kernel decides what a power cut takes "
             "(appendfsync no)";
  }
  return "";
}

std::string Where(const UvLoop& loop) {
  std::string text;
  for (const std::string& address : loop.ListenAddresses()) {
    if (!text.empty()) text += ", ";
    text += address;
  }
  return text.empty() ? "nowhere" : text;
}

void Greet(const Server& server, const UvLoop& loop) {
  const Config& config = server.config();
  LogNotice(fmt::format("Redynamo {} (speaks Redis {}), process {}", kRedynamoVersion,
                        kRedisVersion, getpid()));
  LogNotice("  listens on      " + Where(loop));
  LogNotice("  data directory  " + config.dir);
  LogNotice("  durability      " + std::string(DurabilityText(config.appendfsync)));
  LogNotice(fmt::format("  try             redis-cli -p {} ping", config.port));
  LogNotice(fmt::format("  to stop         Ctrl-C, or: kill {}, or: redis-cli -p {} shutdown",
                        getpid(), config.port));
}

// As many clients as the limit of open files allows.
void FitClientsToLimit(Settings& settings) {
  uint64_t clients = uint64_t(settings.config().maxclients);
  uint64_t allowed = RaiseOpenFilesLimit(clients + kFilesBesideClients);
  if (allowed >= clients + kFilesBesideClients) return;
  uint64_t beside = std::min(kFilesBesideClients, std::max(allowed / 4, kFilesBesideClientsMin));
  uint64_t fitting = allowed > beside ? allowed - beside : 1;
  if (fitting >= clients) return;
  LogWarning(
      fmt::format("maxclients is reduced from {} to {}: only {} open files are allowed "
                  "(raise 'ulimit -n')",
                  clients, fitting, allowed));
  std::string text = std::to_string(fitting);
  std::pair<std::string_view, std::string_view> pair("maxclients", text);
  Status status = settings.Set({&pair, 1});
  if (!status.ok()) LogWarning(status.message());
}

Status RenameCommands(Server& server) {
  for (const auto& [from, to] : server.config().rename_commands) {
    Status status = server.commands().Rename(from, to);
    if (!status.ok()) return InvalidArgument("rename-command: " + status.message());
  }
  return Status::Ok();
}

Status MakeDataDirectory(const std::string& dir) {
  if (mkdir(dir.c_str(), 0755) != 0 && errno != EEXIST) {
    return IoError("cannot make the data directory '" + dir + "'", errno);
  }
  if (chdir(dir.c_str()) == 0) return Status::Ok();
  return IoError("cannot enter the data directory '" + dir + "'", errno);
}

int Refuse(const Status& status, int exit_code) {
  LogWarning("Cannot start: " + status.message());
  return exit_code;
}

int Serve(Settings& settings) {
  TscClock::Calibrate();
  const Clock& clock = SystemClock();
  Server server(&settings, &clock, SystemRandom64());
  server.executable = ExecutablePath();
  Status status = RenameCommands(server);
  if (!status.ok()) return Refuse(status, kExitUsage);
  // The loop lives as long as the process: what it still owns goes with that.
  UvLoop& loop = *new UvLoop(server, settings);
  status = loop.Listen();
  if (!status.ok()) return Refuse(status, kExitStartRefused);
  LogNotice(fmt::format("PID: {}", getpid()));
  LogNotice("Server initialized");
  int exit_code = loop.Run([&] {
    Greet(server, loop);
    LogNotice("Ready to accept connections");
    if (settings.config().supervised != SupervisedMode::kNo) NotifyServiceManager("READY=1");
  });
  server.DetachEngine();
  std::fflush(nullptr);
  if (!settings.config().pidfile.empty()) unlink(settings.config().pidfile.c_str());
  _exit(exit_code);
}

// Log, directory, background, pid file: all that must be before threads.
int StartProcess(Settings& settings) {
  const Config& config = settings.config();
  Status status = settings.MakeDirAbsolute();
  if (!status.ok()) return Refuse(status, kExitUsage);
  // A relative log file or pid file is seen from the data directory, as in Redis.
  status = MakeDataDirectory(config.dir);
  if (!status.ok()) return Refuse(status, kExitStartRefused);
  status = OpenLog(config.logfile, config.loglevel);
  if (!status.ok()) return Refuse(status, kExitStartRefused);
  for (const std::string& warning : settings.warnings()) LogWarning(warning);
  settings.OnChange({"loglevel"}, [](const Config& now) {
    SetLogLevel(now.loglevel);
    return Status::Ok();
  });
  if (config.daemonize) {
    status = GoToBackground();
    if (!status.ok()) return Refuse(status, kExitStartRefused);
  }
  if (!config.pidfile.empty()) {
    status = WritePidFile(config.pidfile);
    if (!status.ok()) LogWarning(status.message());
  }
  IgnoreSignals();
  FitClientsToLimit(settings);
  return Serve(settings);
}

}  // namespace

int RunProgram(const std::string& program, std::span<const std::string> arguments) {
  auto& settings = *new Settings();  // for the whole process
  const CommandTable names(AllCommandFamilies());
  settings.SetCommandExists([&](std::string_view name) { return names.Find(name) != nullptr; });
  Result<StartAction> action = settings.LoadArguments(arguments, ReadStandardInput);
  settings.SetCommandExists(nullptr);
  if (!action.ok()) {
    std::fprintf(stderr, "%s\n", action.status().message().c_str());
    return kExitUsage;
  }
  switch (*action) {
    case StartAction::kShowVersion: std::fputs(VersionText().c_str(), stdout); return kExitOk;
    case StartAction::kShowHelp: std::fputs(HelpText(program).c_str(), stdout); return kExitOk;
    case StartAction::kCheckOnly: return kExitOk;
    case StartAction::kRun: return StartProcess(settings);
  }
  return kExitUsage;
}

}  // namespace redynamo
