// SPDX-License-Identifier: Apache-2.0
// From a framed request to a rendered reply:
//
//   find the row → admission checks (admission.h) → held back (CLIENT PAUSE, memory)? → queue
//   it if in MULTI → keys resident? (else park the session, load, come back) → handler between
//   BeginCommand and EndCommand → render → commit the output to the command's log position → count
//
// The hot path allocates nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/id128.h"
#include "protocol/request.h"
#include "server/command_table.h"
#include "server/session.h"
#include "storage/engine.h"

namespace redynamo {

class Server;
struct GatherChoice;

enum class ExecuteResult : uint8_t {
  kDone,    // answered, muted or queued: the next request may run
  kParked,  // it runs, or is answered, later (Transport::Resume tells); until then its bytes must
            // stay where they are and no other request of this client may run
  kClose,   // no further request of this client
};

class Dispatcher {
 public:
  explicit Dispatcher(Server& server) : server_(server) {}

  // Runs one request. REQUIRES: the session is kRunning; argv is not empty.
  ExecuteResult Execute(Session& session, std::span<const std::string_view> argv);
  // The keys of the requests that Execute will get next, in this order, are asked for from the
  // processor's cache. Their bytes must stay until EndPrefetch.
  void Prefetch(Session& session, std::span<const Request> requests);
  void EndPrefetch();
  // Tries the parked request again (the pause is over, its keys are there), then resumes the
  // pipeline.
  void RunParked(Session& session);
  // For EXEC's handler: runs one queued command inside the Begin and End of EXEC itself.
  void RunNested(Session& session, const Command& command, std::span<const std::string_view> argv);

  // From the settings: what is slow enough for SLOWLOG or LATENCY.
  void SetSlowThresholds(int64_t slowlog_us, int64_t latency_ms);

  // The time of the command in hand: one for the whole of a MULTI.
  int64_t command_ms() const { return command_ms_; }

  // On a ring: which node the command's first key is coordinated by, if it has one.
  std::optional<Id128> CoordinatorOf(std::span<const std::string_view> argv, int database);

 private:
  const Command* Find(Session& session, std::span<const std::string_view> argv, Reply* refusal);
  ExecuteResult Admit(Session& session, const Command& command,
                      std::span<const std::string_view> argv);
  ExecuteResult Refuse(Session& session, const Command* command, const Reply& error);
  ExecuteResult Queue(Session& session, const Command& command,
                      std::span<const std::string_view> argv);
  bool MakeResident(Session& session, const Command& command,
                    std::span<const std::string_view> argv);
  void AddHints(const CommandRow& row, std::span<const std::string_view> argv);
  static KeyRef NeededKey(int database, const CommandRow& row,
                          std::span<const std::string_view> argv, int index);
  void CollectKeys(int database, const CommandRow& row, std::span<const std::string_view> argv);
  void CollectWalk(int database, const CommandRow& row, std::span<const std::string_view> argv);
  void CollectQueuedKeys(const Session& session);
  uint64_t Park(Session& session, std::span<const std::string_view> argv);
  void LoadDone(uint64_t session_id, uint64_t ticket, const Status& status);
  ExecuteResult RunAlone(Session& session, const Command& command,
                         std::span<const std::string_view> argv);
  void Run(Session& session, const Command& command, std::span<const std::string_view> argv,
           uint64_t start_ticks);
  Status ReserveLog(CommandContext& context);
  void RecordSlow(Session& session, const Command& command, std::span<const std::string_view> argv,
                  uint64_t ticks);
  ExecuteResult Finish(Session& session);
  void RefuseParked(Session& session, const Reply& error);

  // --- dispatcher_ring.cc ---
  void CollectForRing(Session& session, const Command& command,
                      std::span<const std::string_view> argv);
  // The result, unless the command is to be run here.
  std::optional<ExecuteResult> RouteInRing(Session& session, const Command& command,
                                           std::span<const std::string_view> argv, uint32_t flags);
  ExecuteResult ForwardInRing(Session& session, const Command& command, const Id128& peer,
                              std::span<const std::string_view> argv, uint32_t flags);
  // Has the transaction run by another node, if this one is no home of its keys.
  std::optional<ExecuteResult> PassTransaction(Session& session, const Command& command,
                                               uint32_t flags);
  bool MustSettle(const Session& session, const Command& command) const;
  // Spreads the command over several nodes, if it is to be.
  std::string WhyNotPassed(const Session& session, std::optional<Id128> peer) const;
  std::optional<ExecuteResult> WatchInRing(Session& session, const Command& command,
                                           std::span<const std::string_view> argv);
  std::optional<ExecuteResult> StartGather(Session& session, const Command& command,
                                           GatherChoice choice);
  std::optional<ExecuteResult> GatherInRing(Session& session, const Command& command,
                                            std::span<const std::string_view> argv);
  // Why a node that shall do it alone, or for its share, cannot; empty: nothing is in the way.
  std::string ObstacleInRing(const Session& session, const Command& command, uint32_t flags);
  bool CompareShare(Session& session, std::span<const std::string_view> argv);
  std::function<void(const Status&)> WhenCompared(uint64_t session_id, uint64_t ticket,
                                                  uint32_t covered);
  // False: the session is parked until its keys are as new as R replicas have them.
  bool ReadsHere(const Session& session) const;
  RequestQuorum QuorumFor(const Session& session, std::span<const KeyRef> keys) const;
  bool FreshInRing(Session& session, const Command& command,
                   std::span<const std::string_view> argv);
  uint32_t CompareAhead(Session& session, std::span<const std::string_view> argv);
  uint64_t HoldForRing(Session& session, uint32_t flags);
  void AwaitInRing(Session& session, uint64_t reply_id);

  // --- dispatcher_face.cc ---
  std::optional<ExecuteResult> JudgeOnClusterPort(Session& session, const Command& command,
                                                  std::span<const std::string_view> argv,
                                                  uint32_t flags, bool fresh);
  void TakeOwnShare(Session& session, const Command& command, uint32_t flags, bool fresh);
  ExecuteResult RefuseOnClusterPort(Session& session, const Command& command, const Reply& error);

  Server& server_;
  int64_t command_ms_ = 0;
  uint64_t start_ticks_ = 0;          // of the command in hand
  uint64_t slow_ticks_ = UINT64_MAX;  // the lower one of both thresholds
  int64_t slowlog_us_ = -1;
  int64_t latency_ms_ = 0;
  std::vector<KeyRef> keys_;                               // of the command in hand; reused
  std::vector<int> key_indexes_;                           // reused
  std::deque<std::vector<std::string_view>> queued_args_;  // that keys_ of an EXEC point to
  std::vector<LookupHint> hints_;                          // reused
  std::vector<uint16_t> slots_;                            // of keys_; reused
  std::span<const Request> upcoming_;                      // of the pipeline in hand
  uint64_t ring_record_ = 0;    // the node's last one before the command in hand
  std::vector<KeyWalk> walks_;  // of the command in hand; reused
  bool prefetched_ = false;
};

}  // namespace redynamo
