// SPDX-License-Identifier: Apache-2.0
// A command is a row of data: what the dispatcher, MULTI, COMMAND, ACL categories and the cold
// loader need to know of it, and the handler that runs it. Each family keeps its rows in a
// constexpr array at the foot of its file and lists it in command_table.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "protocol/reply.h"
#include "server/arg_reader.h"
#include "storage/keyspace.h"

namespace redynamo {

class Server;
class Session;
struct CommandRow;
struct KeyRef;
struct KeyWalk;

// Bits of CommandRow::flags; COMMAND INFO names them.
enum CommandFlag : uint32_t {
  kWrite = 1 << 0,
  kReadonly = 1 << 1,
  kDenyOom = 1 << 2,
  kAdmin = 1 << 3,
  kPubSub = 1 << 4,
  kNoScript = 1 << 5,
  kBlocking = 1 << 6,
  kLoading = 1 << 7,  // allowed while loading
  kStale = 1 << 8,
  kSkipMonitor = 1 << 9,
  kSkipSlowlog = 1 << 10,
  kFast = 1 << 11,
  kNoAuth = 1 << 12,  // allowed before AUTH
  kMayReplicate = 1 << 13,
  kNoMulti = 1 << 14,      // refused inside MULTI
  kMovableKeys = 1 << 15,  // keys are found by get_keys, not by first/last/step
  kNoAsyncLoading = 1 << 16,
  kAllowBusy = 1 << 17,
  kWholeDatabase = 1 << 18,  // reads or changes every key: waits for the newest position
};

// What a command does to its keys, for COMMAND's key specs.
enum class KeyAccess : uint8_t {
  kNone,
  kRead,       // RO
  kReadWrite,  // RW
  kOverwrite,  // OW: the old value is replaced unseen
  kRemove,     // RM
};

// What a command needs of its keys' elements, so that of a large collection on disk no more than
// that is read. What a handler needs and its row does not say costs a read in its midst.
enum class ElementUse : uint8_t {
  kNone,      // nothing beside the head: type, deadline, number of elements
  kNamed,     // those that the arguments first, first + step, ... last name, of every key
  kScan,      // what comes from the cursor in argument `first` on
  kDraw,      // as many random ones as argument `first` says, or one
  kAll,       // everything, of every key
  kFirst,     // everything of the first key, nothing of others
  kButFirst,  // nothing of the first key, everything of others
};
struct ElementArgs {
  int8_t first = 0;  // argv index
  int8_t last = 0;   // -1 is the last argument
  int8_t step = 0;
  ElementUse use = first > 0 ? ElementUse::kNamed : ElementUse::kNone;
};
inline constexpr ElementArgs kAllElements = {0, 0, 0, ElementUse::kAll};
inline constexpr ElementArgs kElementsFromCursor = {2, 2, 1, ElementUse::kScan};
inline constexpr ElementArgs kDrawnElements = {2, 2, 1, ElementUse::kDraw};

// Everything of the outside that a handler may use. Made by the dispatcher for one command.
struct CommandContext {
  Keyspace keys;   // the selected database
  int64_t now_ms;  // the command's time: one for the whole of a MULTI
  Random& random;
  Server& server;    // admin and connection commands only
  Session& session;  // admin and connection commands only
  const CommandRow* row;
  std::span<const std::string_view> argv;  // whole, with the name
  int resp;                                // 2 or 3

  // Publishes a keyspace event if notify-keyspace-events asks for its class (a NotifyClass bit).
  void Notify(uint32_t notify_class, std::string_view event, std::string_view key);
  // The same for a key of another database (COPY, MOVE).
  void NotifyIn(int database, uint32_t notify_class, std::string_view event, std::string_view key);
  // A key was looked up to be read, for INFO's keyspace_hits and keyspace_misses; a missing one is
  // announced as "keymiss".
  void CountLookup(std::string_view key, bool found);
  // An effective change, for INFO's rdb_changes_since_last_save.
  void CountChange(uint64_t n = 1);
};

using Handler = Reply (*)(CommandContext&, ArgReader&);
// For kMovableKeys: appends the argv indexes of the keys; false on malformed arguments.
using GetKeys = bool (*)(std::span<const std::string_view> argv, std::vector<int>* key_indexes);
// For commands that name keys of another database than the selected one: appends them, whatever
// the database's number. Nothing is needed of their elements.
using GetOtherKeys = void (*)(std::span<const std::string_view> argv, std::vector<KeyRef>* keys);

// For commands that walk over keys: what they will walk, but for the database; false when the
// arguments are wrong.
using GetWalk = bool (*)(std::span<const std::string_view> argv, KeyWalk* walk);

// For commands that may write more than their arguments say: at most so many bytes of log more.
using GetLogBytes = uint64_t (*)(CommandContext& ctx);

struct CommandRow {
  std::string_view name;  // lower case; "config|get" for a subcommand
  int16_t arity;          // with the name(s); negative: at least
  uint32_t flags;
  int8_t first_key;  // argv index; 0: no keys
  int8_t last_key;   // -1: the last argument; -2: the one before
  int8_t key_step;
  KeyAccess access;
  Handler handler;         // null for a container that has only subcommands
  std::string_view group;  // "string", "hash", "set", "bitmap", "generic", "connection", ...
  std::string_view since;  // Redis version
  std::string_view complexity;
  std::string_view summary;  // our words
  ElementArgs elements = {};
  GetKeys get_keys = nullptr;
  GetOtherKeys get_other_keys = nullptr;
  GetWalk get_walk = nullptr;
  GetLogBytes get_log_bytes = nullptr;
};

// Bits of notify-keyspace-events.
enum NotifyClass : uint32_t {
  kNotifyKeyspace = 1 << 0,  // K
  kNotifyKeyevent = 1 << 1,  // E
  kNotifyGeneric = 1 << 2,   // g
  kNotifyString = 1 << 3,    // $
  kNotifyList = 1 << 4,      // l
  kNotifySet = 1 << 5,       // s
  kNotifyHash = 1 << 6,      // h
  kNotifyZset = 1 << 7,      // z
  kNotifyExpired = 1 << 8,   // x
  kNotifyEvicted = 1 << 9,   // e
  kNotifyStream = 1 << 10,   // t
  kNotifyKeyMiss = 1 << 11,  // m
  kNotifyModule = 1 << 12,   // d
  kNotifyNew = 1 << 13,      // n
};

// Answers that many families share.
inline Reply WrongType() {
  return Reply::Error("WRONGTYPE Operation against a key holding the wrong kind of value");
}
inline Reply SyntaxError() { return Reply::Error("ERR syntax error"); }

}  // namespace redynamo
