// SPDX-License-Identifier: Apache-2.0
// A connection's own commands: AUTH, HELLO, PING, ECHO, QUIT, RESET, SELECT.
#include <algorithm>
#include <string>

#include "base/number.h"
#include "base/version.h"
#include "server/admin/client.h"
#include "server/command_families.h"
#include "server/commands/command_support.h"
#include "server/server.h"

namespace redynamo {
namespace {

constexpr std::string_view kWrongPassword =
    "WRONGPASS invalid username-password pair or user is disabled.";

// Takes the same time whichever byte differs first.
bool SamePassword(std::string_view given, std::string_view wanted) {
  unsigned difference = unsigned(given.size() != wanted.size());
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= uint8_t(given[i]) ^ uint8_t(wanted.empty() ? 0 : wanted[i % wanted.size()]);
  }
  return difference == 0;
}

// There is one user, "default"; without a password it takes any.
bool LogIn(CommandContext& context, std::string_view user, std::string_view password) {
  const std::string& wanted = context.server.config().requirepass;
  bool right = user == "default" && (wanted.empty() || SamePassword(password, wanted));
  if (right) {
    context.session.authenticated = true;
  } else {
    context.server.stats().auth_denied++;
  }
  return right;
}

Reply Auth(CommandContext& context, ArgReader& args) {
  if (args.remaining() > 2) return SyntaxError();
  for (size_t i = 1; i < context.argv.size(); ++i) context.session.Redact(i);
  bool has_user = args.remaining() == 2;
  if (!has_user && context.server.config().requirepass.empty()) {
    return Reply::Error(
        "ERR AUTH <password> called without any password configured for the default user. Are you "
        "sure your configuration is correct?");
  }
  std::string_view user = has_user ? args.Next() : "default";
  return LogIn(context, user, args.Next()) ? Reply::Ok() : Reply::Error(kWrongPassword);
}

struct HelloOptions {
  int version = 0;  // 0: stays
  bool has_auth = false, has_name = false;
  std::string_view user, password, name;
};

bool ReadHello(CommandContext& context, ArgReader& args, HelloOptions* options, Reply* error) {
  if (!args.done()) {
    int64_t version = args.Int64("ERR Protocol version is not an integer or out of range");
    if (!args.ok()) return *error = args.error(), false;
    if (version != 2 && version != 3) {
      *error = Reply::Error("NOPROTO unsupported protocol version");
      return false;
    }
    options->version = int(version);
  }
  while (!args.done()) {
    if (args.remaining() >= 3 && args.TryWord("AUTH")) {
      options->has_auth = true;
      for (size_t i = 0; i < 2; ++i) {
        context.session.Redact(context.argv.size() - args.remaining() + i);
      }
      options->user = args.Next();
      options->password = args.Next();
    } else if (args.remaining() >= 2 && args.TryWord("SETNAME")) {
      options->has_name = true;
      options->name = args.Next();
      if (!IsPlainName(options->name)) return *error = BadClientName(), false;
    } else {
      *error =
          Reply::ErrorText("ERR Syntax error in HELLO option '" + std::string(args.peek()) + "'");
      return false;
    }
  }
  return true;
}

Reply Hello(CommandContext& context, ArgReader& args) {
  HelloOptions options;
  Reply error;
  if (!ReadHello(context, args, &options, &error)) return error;
  if (options.has_auth && !LogIn(context, options.user, options.password)) {
    return Reply::Error(kWrongPassword);
  }
  Session& session = context.session;
  if (!session.authenticated) {
    return Reply::Error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
        "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
        "RESP protocol version at the same time");
  }
  if (options.has_name) session.name = options.name;
  if (options.version) session.resp = options.version;
  Reply map = Reply::Map();
  map.AddView("server").AddView("redis");
  map.AddView("version").AddView(kRedisVersion);
  map.AddView("proto").AddInteger(session.resp);
  map.AddView("id").AddInteger(int64_t(session.id()));
  map.AddView("mode").AddView(session.identity.cluster_client ? "cluster" : "standalone");
  map.AddView("role").AddView("master");
  map.AddView("modules").Add(Reply::Array());
  return map;
}

Reply Ping(CommandContext& context, ArgReader& args) {
  if (args.remaining() > 1) {
    return Reply::Error("ERR wrong number of arguments for 'ping' command");
  }
  const Session& session = context.session;
  if (session.resp == 2 && session.is_pubsub()) {
    Reply pair = Reply::Array();
    pair.AddView("pong").AddView(args.done() ? "" : args.Next());
    return pair;
  }
  return args.done() ? Reply::StaticStatus("PONG") : Reply::View(args.Next());
}

Reply Echo(CommandContext&, ArgReader& args) { return Reply::View(args.Next()); }

Reply Quit(CommandContext& context, ArgReader&) {
  context.session.CloseAfterReplies();
  return Reply::Ok();
}

Reply Reset(CommandContext& context, ArgReader&) {
  Session& session = context.session;
  DiscardTransaction(context.server, session);
  context.server.pubsub().Forget(session);
  session.database = 0;
  session.resp = 2;
  session.name.clear();
  session.reply_mode = ReplyMode::kOn;
  session.quorum = {};
  session.no_evict = session.no_touch = session.readonly = false;
  session.authenticated = context.server.config().requirepass.empty();
  return Reply::StaticStatus("RESET");
}

Reply Select(CommandContext& context, ArgReader& args) {
  int database = ReadDatabase(context, args);
  if (!args.ok()) return args.error();
  if (context.session.identity.cluster_client && database != 0) {
    return Reply::Error("ERR SELECT is not allowed in cluster mode");
  }
  context.session.database = database;
  return Reply::Ok();
}

constexpr uint32_t kAnyTime = kNoScript | kLoading | kStale | kFast | kAllowBusy;

constexpr CommandRow kRows[] = {
    {"auth", -2, kAnyTime | kNoAuth, 0, 0, 0, KeyAccess::kNone, Auth, "connection", "1.0.0", "O(1)",
     "Logs in with a password, and a user name if there is one"},
    {"echo", 2, kLoading | kStale | kFast, 0, 0, 0, KeyAccess::kNone, Echo, "connection", "1.0.0",
     "O(1)", "Answers its argument"},
    {"hello", -1, kAnyTime | kNoAuth, 0, 0, 0, KeyAccess::kNone, Hello, "connection", "6.0.0",
     "O(1)", "Chooses the protocol's version and tells about the server"},
    {"ping", -1, kFast, 0, 0, 0, KeyAccess::kNone, Ping, "connection", "1.0.0", "O(1)",
     "Answers PONG, or its argument"},
    {"quit", -1, kAnyTime | kNoAuth, 0, 0, 0, KeyAccess::kNone, Quit, "connection", "1.0.0", "O(1)",
     "Answers OK and closes the connection"},
    {"reset", 1, kAnyTime | kNoAuth, 0, 0, 0, KeyAccess::kNone, Reset, "connection", "6.2.0",
     "O(1)", "Makes the connection as if it were new"},
    {"select", 2, kLoading | kStale | kFast, 0, 0, 0, KeyAccess::kNone, Select, "connection",
     "1.0.0", "O(1)", "Chooses the connection's database"},
};

}  // namespace

std::span<const CommandRow> ConnectionCommands() { return kRows; }

}  // namespace redynamo
