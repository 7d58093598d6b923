// SPDX-License-Identifier: Apache-2.0
// CLIENT and its subcommands.
#include "server/admin/client.h"

#include <algorithm>
#include <string>

#include "base/number.h"
#include "server/command_families.h"
#include "server/server.h"

namespace redynamo {

bool IsPlainName(std::string_view name) {
  return std::ranges::all_of(name, [](char c) { return c >= '!' && c <= '~'; });
}

namespace {

Reply ClientId(CommandContext& context, ArgReader&) {
  return Reply::Integer(int64_t(context.session.id()));
}

Reply ClientInfo(CommandContext& context, ArgReader&) {
  return Reply::Verbatim(ClientRegistry::Describe(context.session, context.server.now_ms()) + "\n");
}

// "slave" is what older clients call a replica.
bool ReadType(std::string_view word, std::string* type) {
  for (std::string_view known : {"normal", "pubsub", "master", "replica"}) {
    if (EqualsIgnoreCase(word, known)) return *type = known, true;
  }
  return EqualsIgnoreCase(word, "slave") ? (*type = "replica", true) : false;
}

Reply UnknownType(std::string_view word) {
  return Reply::ErrorText("ERR Unknown client type '" + std::string(word) + "'");
}

Reply ClientList(CommandContext& context, ArgReader& args) {
  ClientRegistry& clients = context.server.clients();
  int64_t now_ms = context.server.now_ms();
  std::vector<const Session*> listed;
  if (args.remaining() == 2 && args.TryWord("TYPE")) {
    ClientFilter filter;
    std::string_view word = args.Next();
    if (!ReadType(word, &filter.type.emplace())) return UnknownType(word);
    for (Session* session : clients.Matching(filter, now_ms)) listed.push_back(session);
  } else if (args.remaining() >= 2 && args.TryWord("ID")) {
    while (!args.done()) {
      int64_t id = args.Int64("ERR Invalid client ID");
      if (!args.ok()) return args.error();
      if (Session* session = clients.Find(uint64_t(id))) listed.push_back(session);
    }
  } else if (!args.done()) {
    return SyntaxError();
  } else {
    for (const auto& [id, session] : clients.all()) listed.push_back(session);
  }
  std::string lines;
  for (const Session* session : listed) {
    lines += ClientRegistry::Describe(*session, now_ms);
    lines += '\n';
  }
  return Reply::Verbatim(std::move(lines));
}

bool ReadKillFilter(ArgReader& args, ClientFilter* filter, bool* skip_me, Reply* error) {
  while (!args.done()) {
    if (args.remaining() < 2) return *error = SyntaxError(), false;
    if (args.TryWord("ID")) {
      int64_t id = args.Int64In(1, INT64_MAX, "ERR client-id should be greater than 0");
      if (!args.ok()) return *error = args.error(), false;
      filter->id = uint64_t(id);
    } else if (args.TryWord("TYPE")) {
      std::string_view word = args.Next();
      if (!ReadType(word, &filter->type.emplace())) return *error = UnknownType(word), false;
    } else if (args.TryWord("ADDR")) {
      filter->address = args.Next();
    } else if (args.TryWord("LADDR")) {
      filter->local_address = args.Next();
    } else if (args.TryWord("USER")) {
      filter->user = args.Next();
      if (*filter->user != "default") {
        *error = Reply::ErrorText("ERR No such user '" + *filter->user + "'");
        return false;
      }
    } else if (args.TryWord("SKIPME")) {
      std::string_view word = args.Next();
      *skip_me = EqualsIgnoreCase(word, "yes");
      if (!*skip_me && !EqualsIgnoreCase(word, "no")) return *error = SyntaxError(), false;
    } else {
      return *error = SyntaxError(), false;
    }
  }
  return true;
}

Reply ClientKill(CommandContext& context, ArgReader& args) {
  ClientFilter filter;
  bool old_form = args.remaining() == 1;
  bool skip_me = !old_form;
  if (old_form) {
    filter.address = args.Next();
  } else {
    Reply error;
    if (!ReadKillFilter(args, &filter, &skip_me, &error)) return error;
  }
  int64_t killed = 0;
  for (Session* session : context.server.clients().Matching(filter, context.server.now_ms())) {
    if (session == &context.session) {
      if (skip_me) continue;
      session->CloseAfterReplies();  // it still gets its answer
    } else {
      session->CloseNow();
    }
    killed++;
  }
  if (!old_form) return Reply::Integer(killed);
  return killed ? Reply::Ok() : Reply::Error("ERR No such client");
}

Reply ClientGetName(CommandContext& context, ArgReader&) {
  const std::string& name = context.session.name;
  return name.empty() ? Reply::Nil() : Reply::View(name);
}

Reply ClientSetName(CommandContext& context, ArgReader& args) {
  std::string_view name = args.Next();
  if (!IsPlainName(name)) return BadClientName();
  context.session.name = name;
  return Reply::Ok();
}

Reply ClientSetInfo(CommandContext& context, ArgReader& args) {
  std::string_view option = args.Next();
  std::string_view value = args.Next();
  std::string* target = nullptr;
  if (EqualsIgnoreCase(option, "lib-name")) target = &context.session.library_name;
  if (EqualsIgnoreCase(option, "lib-ver")) target = &context.session.library_version;
  if (!target) {
    return Reply::ErrorText("ERR Unrecognized option '" + std::string(option) + "'");
  }
  if (!IsPlainName(value)) {
    return Reply::ErrorText("ERR " + std::string(option) +
                            " cannot contain spaces, newlines or special characters.");
  }
  *target = value;
  return Reply::Ok();
}

Reply ClientPause(CommandContext& context, ArgReader& args) {
  if (args.remaining() > 2) {
    return Reply::ErrorText("ERR unknown subcommand or wrong number of arguments for '" +
                            std::string(context.argv[1]) + "'. Try CLIENT HELP.");
  }
  int64_t ms = args.Int64("ERR timeout is not an integer or out of range");
  if (!args.ok()) return args.error();
  if (ms < 0) return Reply::Error("ERR timeout is negative");
  if (ms > INT64_MAX - context.now_ms) return Reply::Error("ERR timeout is out of range");
  PauseScope scope = PauseScope::kAll;
  if (args.TryWord("WRITE")) {
    scope = PauseScope::kWrites;
  } else if (!args.done() && !args.TryWord("ALL")) {
    return Reply::Error("ERR CLIENT PAUSE mode must be WRITE or ALL");
  }
  context.server.clients().Pause(scope, context.server.now_ms() + ms);
  return Reply::Ok();
}

Reply ClientUnpause(CommandContext& context, ArgReader&) {
  context.server.ResumePaused();
  return Reply::Ok();
}

Reply ClientReply(CommandContext& context, ArgReader& args) {
  ReplyMode& mode = context.session.reply_mode;
  if (args.TryWord("ON")) {
    mode = ReplyMode::kOn;
    return Reply::Ok();
  }
  if (args.TryWord("OFF")) {
    mode = ReplyMode::kOff;
    return Reply::None();
  }
  if (!args.TryWord("SKIP")) return SyntaxError();
  if (mode != ReplyMode::kOff) mode = ReplyMode::kSkipNext;
  return Reply::None();
}

Reply SetSwitch(ArgReader& args, bool* target) {
  if (args.TryWord("ON")) return *target = true, Reply::Ok();
  if (args.TryWord("OFF")) return *target = false, Reply::Ok();
  return SyntaxError();
}

Reply ClientNoEvict(CommandContext& context, ArgReader& args) {
  return SetSwitch(args, &context.session.no_evict);
}

Reply ClientNoTouch(CommandContext& context, ArgReader& args) {
  return SetSwitch(args, &context.session.no_touch);
}

Reply ClientHelp(CommandContext&, ArgReader&) {
  static constexpr std::string_view kLines[] = {
      "CLIENT <subcommand> [<arg> ...]. Subcommands are:",
      "GETNAME",
      "    The name of this connection, or nil.",
      "ID",
      "    The number of this connection.",
      "INFO",
      "    CLIENT LIST's line of this connection.",
      "KILL <ip:port>",
      "    Closes the connection from that address.",
      "KILL <option> <value> [<option> <value> ...]",
      "    Closes connections that match all of: ADDR <ip:port>, LADDR <ip:port>, ID <id>,",
      "    TYPE (NORMAL|PUBSUB|MASTER|REPLICA), USER <name>, SKIPME (YES|NO).",
      "LIST [TYPE <type> | ID <id> [<id> ...]]",
      "    One line for each connection.",
      "NO-EVICT (ON|OFF)",
      "    Keeps this connection when clients are evicted.",
      "NO-TOUCH (ON|OFF)",
      "    Commands of this connection leave the last access of keys alone.",
      "PAUSE <milliseconds> [WRITE|ALL]",
      "    Holds back all commands, or those that write.",
      "REPLY (ON|OFF|SKIP)",
      "    Whether this connection gets replies.",
      "SETINFO (LIB-NAME|LIB-VER) <value>",
      "    The client library of this connection.",
      "SETNAME <name>",
      "    Names this connection.",
      "UNPAUSE",
      "    Ends CLIENT PAUSE.",
      "HELP",
      "    This text.",
  };
  Reply lines = Reply::Array();
  for (std::string_view line : kLines) lines.Add(Reply::StaticStatus(line));
  return lines;
}

constexpr uint32_t kOwn = kNoScript | kLoading | kStale;

constexpr CommandRow kRows[] = {
    {"client", -2, 0, 0, 0, 0, KeyAccess::kNone, nullptr, "connection", "2.4.0",
     "Depends on subcommand.", "Shows and steers connections"},
    {"client|getname", 2, kOwn, 0, 0, 0, KeyAccess::kNone, ClientGetName, "connection", "2.6.9",
     "O(1)", "The connection's name"},
    {"client|help", 2, kLoading | kStale, 0, 0, 0, KeyAccess::kNone, ClientHelp, "connection",
     "5.0.0", "O(1)", "Explains the subcommands"},
    {"client|id", 2, kOwn, 0, 0, 0, KeyAccess::kNone, ClientId, "connection", "5.0.0", "O(1)",
     "The connection's number"},
    {"client|info", 2, kOwn, 0, 0, 0, KeyAccess::kNone, ClientInfo, "connection", "6.2.0", "O(1)",
     "Figures of this connection"},
    {"client|kill", -3, kOwn | kAdmin, 0, 0, 0, KeyAccess::kNone, ClientKill, "connection", "2.4.0",
     "O(N) where N is the number of client connections", "Closes connections"},
    {"client|list", -2, kOwn | kAdmin, 0, 0, 0, KeyAccess::kNone, ClientList, "connection", "2.4.0",
     "O(N) where N is the number of client connections", "Lists connections"},
    {"client|no-evict", 3, kOwn | kAdmin, 0, 0, 0, KeyAccess::kNone, ClientNoEvict, "connection",
     "7.0.0", "O(1)", "Keeps the connection when clients are evicted"},
    {"client|no-touch", 3, kOwn, 0, 0, 0, KeyAccess::kNone, ClientNoTouch, "connection", "7.2.0",
     "O(1)", "Makes the connection leave the last access of keys alone"},
    {"client|pause", -3, kOwn | kAdmin, 0, 0, 0, KeyAccess::kNone, ClientPause, "connection",
     "2.9.50", "O(1)", "Holds commands back for a while"},
    {"client|reply", 3, kOwn, 0, 0, 0, KeyAccess::kNone, ClientReply, "connection", "3.2.0", "O(1)",
     "Turns replies to the connection on or off"},
    {"client|setinfo", 4, kOwn, 0, 0, 0, KeyAccess::kNone, ClientSetInfo, "connection", "7.2.0",
     "O(1)", "Notes the connection's client library"},
    {"client|setname", 3, kOwn, 0, 0, 0, KeyAccess::kNone, ClientSetName, "connection", "2.6.9",
     "O(1)", "Names the connection"},
    {"client|unpause", 2, kOwn | kAdmin, 0, 0, 0, KeyAccess::kNone, ClientUnpause, "connection",
     "6.2.0", "O(N) where N is the number of paused clients", "Ends CLIENT PAUSE"},
};

}  // namespace

std::span<const CommandRow> ClientCommands() { return kRows; }

}  // namespace redynamo
