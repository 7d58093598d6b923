// SPDX-License-Identifier: Apache-2.0
#include "server/gather.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "protocol/resp_reader.h"
#include "protocol/resp_writer.h"
#include "server/server.h"

namespace redynamo {
namespace {

enum class PartState : uint8_t { kDone, kNotDone, kUnknown };

// An error reply says that nothing was changed, but for QUORUM.
PartState StateOf(const PartOutcome& outcome) {
  if (outcome.kind == ForwardOutcome::kUnknown) return PartState::kUnknown;
  if (outcome.kind == ForwardOutcome::kNotDone) return PartState::kNotDone;
  if (!outcome.bytes.starts_with('-')) return PartState::kDone;
  return outcome.bytes.starts_with("-QUORUM ") ? PartState::kUnknown : PartState::kNotDone;
}

std::string ReasonOf(const PartOutcome& outcome) {
  switch (outcome.kind) {
    case ForwardOutcome::kNotDone: return "it cannot take commands now";
    case ForwardOutcome::kUnknown: return "it did not answer in time";
    case ForwardOutcome::kReply: break;
  }
  std::string_view text = outcome.bytes;
  return std::string(text.substr(1, text.find("\r\n") - 1));
}

// Of a command that has changed nothing anywhere.
std::string NothingDone(const PartOutcome& outcome, const std::string& name) {
  std::string reason = ReasonOf(outcome);
  if (outcome.kind != ForwardOutcome::kReply) {
    return "TRYAGAIN node " + name + ": " + reason + ". Nothing was changed";
  }
  return reason.starts_with("ERR ") ? reason : reason + " (says node " + name + ")";
}

}  // namespace

std::optional<std::string> FailureOf(const GatherPlan& plan, std::span<const PartOutcome> outcomes,
                                     const std::function<std::string(const Id128&)>& name_of) {
  uint64_t weights[3] = {};
  std::optional<size_t> first;
  for (size_t i = 0; i < outcomes.size(); i++) {
    PartState state = StateOf(outcomes[i]);
    weights[size_t(state)] += plan.parts[i].weight;
    if (state != PartState::kDone && !first) first = i;
  }
  if (!first) return std::nullopt;
  std::string name = name_of(plan.parts[*first].node);
  auto [done, not_done, unknown] = weights;
  if (!plan.writes || (done == 0 && unknown == 0)) return NothingDone(outcomes[*first], name);
  return fmt::format(
      "QUORUM of {} {} it is done for {}, not done for {}, and of {} the outcome is unknown: it "
      "may take effect or not. Node {}: {}",
      done + not_done + unknown, plan.unit, done, not_done, unknown, name,
      ReasonOf(outcomes[*first]));
}

GatherMerge MergeOk() {
  return [](std::span<const std::string> replies) -> std::optional<std::string> {
    for (const std::string& reply : replies) {
      if (reply != "+OK\r\n") return std::nullopt;
    }
    return "+OK\r\n";
  };
}

GatherMerge MergeSum() {
  return [](std::span<const std::string> replies) -> std::optional<std::string> {
    int64_t sum = 0;
    for (std::string_view reply : replies) {
      RespValue value;
      if (!ReadResp(&reply, &value) || value.type != ':') return std::nullopt;
      if (__builtin_add_overflow(sum, value.integer, &sum)) return std::nullopt;
    }
    std::string merged;
    AppendInteger(sum, &merged);
    return merged;
  };
}

void Gatherer::Start(Session& session, GatherPlan plan) {
  session.state = SessionState::kGathering;
  uint64_t id = next_id_++;
  Gather& gather = gathers_[id];
  gather.session_id = session.id();
  gather.ticket = ++session.ticket;
  gather.muted = session.reply_mode != ReplyMode::kOn;
  gather.open = plan.parts.size();
  gather.outcomes.resize(plan.parts.size());
  Node& node = node_();
  std::vector<size_t> order(plan.parts.size());
  std::iota(order.begin(), order.end(), size_t(0));
  // The others first: they can work meanwhile.
  std::stable_partition(order.begin(), order.end(),
                        [&](size_t i) { return plan.parts[i].node != node.self(); });
  std::vector<GatherPart> parts = std::move(plan.parts);
  for (const GatherPart& part : parts)
    gather.plan.parts.push_back({part.node, {}, {}, part.weight});
  gather.plan.unit = plan.unit;
  gather.plan.writes = plan.writes;
  gather.plan.merge = std::move(plan.merge);
  gather.plan.stand_in = std::move(plan.stand_in);
  for (size_t i : order) {
    if (plan.writes) session.NoteWriteThrough(parts[i].node, 0);
    wire::Forward command;
    command.database = uint32_t(session.database);
    command.resp_version = uint32_t(session.resp);
    command.hops = session.hops + 1u;
    command.client = session.id();
    command.flags = session.quorum.Pack() << wire::Forward::kQuorumShift;
    command.args = std::move(parts[i].args);
    std::string share = parts[i].share ? parts[i].share->Encode() : std::string();
    command.share = share;
    auto done = [this, id, i](const ForwardOutcome& outcome) {
      Answered(id, i, outcome.kind, outcome.bytes);
    };
    node.SendForward(parts[i].node, std::move(command), plan.writes, std::move(done),
                     plan.timeout_ms);
  }
}

void Gatherer::Answered(uint64_t id, size_t part, ForwardOutcome::Kind kind,
                        std::string_view bytes) {
  auto it = gathers_.find(id);
  if (it == gathers_.end()) return;
  it->second.outcomes[part] = {kind, std::string(bytes)};
  if (--it->second.open > 0) return;
  auto node = gathers_.extract(it);
  End(node.mapped());
}

std::string Gatherer::Merged(const Gather& gather) {
  const RingDocument& document = node_().document();
  auto name_of = [&document](const Id128& id) {
    std::optional<MemberIndex> member = document.Find(NodeId{id});
    return member ? document.members[*member].ring_address.ToString() : Id128Digits(id);
  };
  std::optional<std::string> failure;
  if (!gather.plan.stand_in) failure = FailureOf(gather.plan, gather.outcomes, name_of);
  if (!failure) {
    std::vector<std::string> replies;
    for (size_t i = 0; i < gather.outcomes.size(); i++) {
      const PartOutcome& outcome = gather.outcomes[i];
      replies.push_back(StateOf(outcome) == PartState::kDone
                            ? outcome.bytes
                            : gather.plan.stand_in(gather.plan.parts[i].node, ReasonOf(outcome)));
    }
    if (std::optional<std::string> merged = gather.plan.merge(replies)) return *std::move(merged);
    failure = "ERR the replies of the nodes do not fit together";
  }
  server_.stats().CountError(*failure);
  std::string error;
  AppendError(*failure, &error);
  return error;
}

void Gatherer::End(const Gather& gather) {
  Session* session = server_.clients().Find(gather.session_id);
  if (!session || session->ticket != gather.ticket) return;
  if (session->state != SessionState::kGathering) return;  // it is closing
  session->state = SessionState::kRunning;
  std::string reply = Merged(gather);
  if (!gather.muted) session->output.Tail()->append(reply);
  // The parts' replies have left their nodes as far as this is concerned; but messages for this
  // client may stand in front of it that wait for the log.
  bool waits = session->touched && server_.has_engine();
  session->output.Commit(waits ? server_.engine().NewestPosition() : 0, server_.turn());
  session->transport().Wake();
  session->transport().Resume();
}

}  // namespace redynamo
