// SPDX-License-Identifier: Apache-2.0
#include "server/admission.h"

#include <algorithm>

#include "server/ring.h"
#include "server/server.h"

namespace redynamo {
namespace {

// Redis shows this much of the name, and of the arguments together.
constexpr size_t kShownBytesMax = 128;

bool Arity(const AdmissionCall& call, Reply* refusal) {
  if (CommandTable::ArityFits(*call.command.row, call.argv.size())) return true;
  *refusal = WrongArity(call.command);
  return false;
}

bool DebugPermission(const AdmissionCall& call, Reply* refusal) {
  if (!call.command.needs_debug_permission) return true;
  Permission allowed = call.server.config().enable_debug_command;
  if (allowed == Permission::kYes) return true;
  if (allowed == Permission::kLocal && call.session.identity.loopback) return true;
  *refusal = Reply::Error(
      "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you "
      "can run it from a local connection, otherwise you need to set this option in the "
      "configuration file, and then restart the server.");
  return false;
}

bool Authenticated(const AdmissionCall& call, Reply* refusal) {
  if (call.session.authenticated || call.command.has(kNoAuth)) return true;
  *refusal = Reply::Error("NOAUTH Authentication required.");
  return false;
}

bool AllowedInMulti(const AdmissionCall& call, Reply* refusal) {
  if (!call.session.transaction.open) return true;
  *refusal = Reply::Error("ERR Command not allowed inside a transaction");
  return false;
}

// What MULTI queues takes memory, too, whatever it will do.
bool Memory(const AdmissionCall& call, Reply* refusal) {
  bool queues = call.session.transaction.open && !call.command.is_exec &&
                call.command.name() != "discard" && call.command.name() != "quit" &&
                call.command.name() != "reset";
  if (!(call.flags & kDenyOom) && !queues) return true;
  if (!call.server.has_engine() || !call.server.engine().OutOfMemory()) return true;
  *refusal = Reply::Error("OOM command not allowed when used memory > 'maxmemory'.");
  return false;
}

bool LogSpace(const AdmissionCall& call, Reply* refusal) {
  if (!call.server.has_engine()) return true;
  Engine& engine = call.server.engine();
  uint64_t bytes = ArgumentLogBytes(engine, *call.command.row, call.argv) +
                   call.session.transaction.queued_log_bytes;
  Status room = engine.ReserveWrite(bytes);
  if (__builtin_expect(room.ok(), 1)) return true;
  *refusal = NoLogSpace(room);
  return false;
}

bool PubSubMode(const AdmissionCall& call, Reply* refusal) {
  const Session& session = call.session;
  if (session.resp == 3 || !session.is_pubsub()) return true;
  static constexpr std::string_view kAllowed[] = {"ping",         "subscribe",    "unsubscribe",
                                                  "psubscribe",   "punsubscribe", "ssubscribe",
                                                  "sunsubscribe", "quit",         "reset"};
  for (std::string_view name : kAllowed) {
    if (call.command.name() == name) return true;
  }
  *refusal = Reply::ErrorText("ERR Can't execute '" + std::string(call.command.name()) +
                              "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
                              "allowed in this context");
  return false;
}

bool Loaded(const AdmissionCall& call, Reply* refusal) {
  if (call.server.has_engine()) return true;
  if (call.flags & kLoading && !CommandTable::HasKeys(*call.command.row)) return true;
  *refusal = Reply::Error("LOADING Redis is loading the dataset in memory");
  return false;
}

// A ring that is still forming has no data; SWAPDB would give databases other contents here than
// on the other nodes.
bool RingAllows(const AdmissionCall& call, Reply* refusal) {
  Ring* ring = call.server.ring();
  if (!ring || !call.command.uses_engine) return true;
  if (ring->waiting()) {
    *refusal = Reply::Error("CLUSTERDOWN The ring is not formed yet, see RING.STATUS");
    return false;
  }
  if (!ring->several() || call.command.name() != "swapdb") return true;
  *refusal = Reply::Error("ERR SWAPDB is not possible on a ring of several nodes");
  return false;
}

constexpr AdmissionCheck kChecks[] = {
    {"arity", 0, Arity},
    {"debug permission", 0, DebugPermission},
    {"authentication", 0, Authenticated},
    {"transaction", kNoMulti, AllowedInMulti},
    {"memory", 0, Memory},
    {"log space", kWrite, LogSpace},
    {"subscriber mode", 0, PubSubMode},
    {"loading", 0, Loaded},
    {"ring", 0, RingAllows},
};

// What Redis shows of a client's bytes in an error: not beyond a NUL, and not all.
std::string_view Shown(std::string_view bytes, size_t most) {
  return bytes.substr(0, std::min(most, bytes.find('\0')));
}

}  // namespace

std::span<const AdmissionCheck> AdmissionChecks() { return kChecks; }

// Each key may need an event and a clear of what it was; each element repeats its key.
uint64_t ArgumentLogBytes(const Engine& engine, const CommandRow& row,
                          std::span<const std::string_view> argv) {
  bool one_key = row.first_key > 0 && row.first_key == row.last_key;
  uint64_t keys = one_key ? 2 : argv.size() / size_t(std::max<int>(row.key_step, 1)) + 1;
  uint64_t bytes = keys * engine.EventLogBytes() + argv.size() * kEffectLogBytes;
  if (one_key && size_t(row.first_key) < argv.size()) {
    bytes += argv.size() * argv[size_t(row.first_key)].size();
  }
  for (std::string_view arg : argv) bytes += arg.size();
  return bytes;
}

Reply NoLogSpace(const Status& status) {
  std::string_view message = status.message();
  bool has_code = message.starts_with("MISCONF ");
  std::string_view code = status.code() == StatusCode::kInvalidArgument ? "ERR " : "MISCONF ";
  return Reply::ErrorText(std::string(has_code ? "" : code) + std::string(message));
}

bool LooksLikeHttp(std::string_view name) {
  return EqualsIgnoreCase(name, "post") || EqualsIgnoreCase(name, "host:");
}

Reply UnknownCommand(std::span<const std::string_view> argv) {
  std::string args;
  for (size_t i = 1; i < argv.size() && args.size() < kShownBytesMax; ++i) {
    std::string_view shown = Shown(argv[i], kShownBytesMax - args.size());
    args += '\'';
    args += shown;
    args += "' ";
  }
  return Reply::ErrorText("ERR unknown command '" + std::string(Shown(argv[0], kShownBytesMax)) +
                          "', with args beginning with: " + args);
}

Reply UnknownSubcommand(const Command& container, std::string_view name) {
  std::string upper(container.name());
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? char(c - 32) : c;
  return Reply::ErrorText("ERR unknown subcommand '" + std::string(Shown(name, kShownBytesMax)) +
                          "'. Try " + upper + " HELP.");
}

Reply WrongArity(const Command& command) {
  return Reply::ErrorText("ERR wrong number of arguments for '" + std::string(command.name()) +
                          "' command");
}

}  // namespace redynamo
