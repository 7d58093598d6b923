// SPDX-License-Identifier: Apache-2.0
// One client as the commands see it: who it is, what it has selected, its transaction, its
// subscriptions, and the replies it has coming. It knows no socket: Transport does.
//
// Data thread only. Owned by whatever carries it (uv_connection), found by id in ClientRegistry.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/id128.h"
#include "cluster/request_quorum.h"
#include "protocol/reply.h"
#include "protocol/request.h"
#include "protocol/resp_writer.h"
#include "server/command_table.h"
#include "server/output_buffer.h"
#include "server/transport.h"

namespace redynamo {

class RecentMoves;
class Server;
class PartitionSet;
struct KeyListings;

// What a client's pipeline is doing. Only in kRunning are further requests executed.
enum class SessionState : uint8_t {
  kRunning,
  kLoadingKeys,  // its command waits for keys from disk
  kSettling,     // its command waits until those before it, elsewhere, are answered
  kGathering,    // several nodes carry out its command (server/gather.h)
  kComparing,    // its command waits until its keys are as new as R replicas have them
  kPaused,       // CLIENT PAUSE holds its command back
  kDeferred,     // its handler answers later (Session::Defer)
  kClosing,      // no more commands; remaining replies may still go out
};

enum class ReplyMode : uint8_t { kOn, kOff, kSkipNext, kSkipThis };

// A promise to answer the command in hand later: Server::Answer takes it. Once only; a client that
// has gone meanwhile is no error.
struct DeferredReply {
  uint64_t session_id = 0;
  uint64_t ticket = 0;
};

// What CLIENT LIST says of a client beyond its commands' effects.
struct SessionIdentity {
  uint64_t id = 0;
  std::string address;  // "127.0.0.1:5000", "[::1]:5000" or "/path:0"
  std::string local_address;
  int fd = -1;
  bool unix_socket = false;
  bool loopback = false;        // came over the loopback interface or the unix socket
  bool cluster_client = false;  // came to the cluster port: see cluster_face.h
};

// The queue between MULTI and EXEC.
struct QueuedCommand {
  const Command* command;
  std::string bytes;  // all arguments, one after another
  std::vector<uint32_t> lengths;
  std::vector<std::string_view> Args() const;
};

struct TransactionState {
  bool open = false;          // between MULTI and EXEC or DISCARD
  bool running = false;       // EXEC runs the queue
  bool queue_failed = false;  // EXEC answers EXECABORT
  bool watch_failed = false;  // a watched key has changed: EXEC answers nil
  std::vector<QueuedCommand> queue;
  uint64_t queued_bytes = 0;
  uint64_t queued_log_bytes = 0;  // of the queue's writes, see ArgumentLogBytes
  uint32_t queued_flags = 0;      // of all queued commands together
  bool uses_engine = false;       // any of them does
};

struct WatchedKey {
  int database;
  std::string key;
  bool existed;
  int64_t deadline_ms;  // when watched; kNoDeadline
  // On a ring, of a key that another node has: its version then (ring_watch.h).
  bool elsewhere = false;
  uint64_t version = 0;
};

struct SubscriptionState {
  std::set<std::string, std::less<>> channels, patterns, shard_channels;
  size_t count() const { return channels.size() + patterns.size(); }
  size_t total() const { return count() + shard_channels.size(); }
};

// A node of the ring that has coordinated a session's writes, and what is known of all of them.
struct WrittenThrough {
  Id128 node{};
  int64_t copies = 0;                 // other nodes that have them
  int64_t disk = 0, disk_copies = 0;  // the same on disk: there (0 or 1), and of the others
};

class Session {
 public:
  Session(Server& server, Transport& transport, SessionIdentity identity);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  uint64_t id() const { return identity.id; }
  RespVersion version() const { return resp == 3 ? RespVersion::kResp3 : RespVersion::kResp2; }
  bool in_multi() const { return transaction.open; }
  bool is_pubsub() const { return subscriptions.total() > 0; }

  // --- replies ---
  // Renders into the output as part of the command in hand, honouring CLIENT REPLY.
  void Write(const Reply& reply);
  // Renders although CLIENT REPLY may be off: pub/sub messages, MONITOR lines.
  void WritePush(const Reply& push);
  // Where handlers that render by themselves put bytes; null while CLIENT REPLY mutes the client.
  std::string* Output();
  // The handler returns Reply::None() after this, and the pipeline rests until Server::Answer.
  // REQUIRES: not in EXEC (`transaction.running`): there, answer at once.
  DeferredReply Defer();

  // The node coordinates a write of this session that is answered when `copies` others have it.
  void NoteWriteThrough(const Id128& node, int copies);

  // --- the end ---
  // Closes once the replies so far are out (QUIT, protocol errors).
  void CloseAfterReplies();
  // Closes at the end of the turn, whatever is pending (CLIENT KILL, output limits).
  void CloseNow();
  bool close_now() const { return close_now_; }

  // SLOWLOG and MONITOR shall not show this argument of the command in hand.
  void Redact(size_t arg_index) { redacted.push_back(uint16_t(arg_index)); }

  SessionIdentity identity;
  std::string name;  // CLIENT SETNAME
  std::string library_name, library_version;
  int database = 0;
  int resp = 2;
  bool authenticated = false;
  bool monitoring = false;
  bool no_evict = false, no_touch = false;
  RequestQuorum quorum;          // as RING.QUORUM said, or whoever has forwarded the command
  RequestQuorum request_quorum;  // of the command in hand, ring-policy included
  // Of a peer's client: how often its command has been forwarded; and whether it should not have
  // come here.
  uint8_t hops = 0;
  bool misrouted = false;
  // Of a command that concerns all keys, only these partitions are meant; null: all.
  const PartitionSet* share = nullptr;
  bool readonly = false;  // READONLY, of a cluster client
  uint32_t fresh = 0;     // so many next requests have keys that are as new as R replicas have them
  ReplyMode reply_mode = ReplyMode::kOn;
  SessionState state = SessionState::kRunning;
  TransactionState transaction;
  std::vector<WatchedKey> watched;
  std::vector<WrittenThrough> written_through;  // for WAIT, on a ring
  int64_t last_write_ms = 0;                    // the same
  SubscriptionState subscriptions;

  int64_t created_ms = 0;
  int64_t last_interaction_ms = 0;
  const Command* last_command = nullptr;
  uint64_t commands = 0;
  uint64_t net_input_bytes = 0, net_output_bytes = 0;

  // --- the dispatcher's ---
  OutputBuffer output;
  bool touched = false;  // has uncommitted output: see Server::Touch
  std::vector<uint16_t> redacted;
  uint64_t ticket = 0;                            // of the park or deferral in force
  std::span<const std::string_view> parked_argv;  // of the command that is parked
  std::shared_ptr<KeyListings> listings;          // cold keys read ahead for the command in hand
  const Command* cached_command = nullptr;        // what the last name stood for
  bool runs_here = false;                         // the command in hand, of a cluster client
  std::unique_ptr<RecentMoves> recent_moves;      // of a cluster client that was sent elsewhere
  std::unique_ptr<PartitionSet> own_share;        // of a cluster client: what `share` points to
  char cached_name[16];
  uint8_t cached_name_size = UINT8_MAX;  // none

  // --- the transport's ---
  int64_t soft_limit_since_ms = 0;  // output over the soft limit since then; 0: it is not

  Server& server() { return server_; }
  Transport& transport() { return transport_; }
  const Transport& transport() const { return transport_; }

 private:
  Server& server_;
  Transport& transport_;
  bool close_now_ = false;
};

}  // namespace redynamo
