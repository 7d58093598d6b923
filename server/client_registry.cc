// SPDX-License-Identifier: Apache-2.0
#include "server/client_registry.h"

#include <fmt/format.h>

#include <algorithm>

namespace redynamo {

bool ClientFilter::Matches(const Session& session, int64_t now_ms) const {
  if (id && *id != session.id()) return false;
  if (address && *address != session.identity.address) return false;
  if (local_address && *local_address != session.identity.local_address) return false;
  if (user && *user != "default") return false;
  if (user && !session.authenticated) return false;
  if (type && *type != ClientRegistry::TypeOf(session)) return false;
  return true;
}

Session* ClientRegistry::Find(uint64_t id) const {
  auto it = sessions_.find(id);
  return it == sessions_.end() ? nullptr : it->second;
}

std::vector<Session*> ClientRegistry::Matching(const ClientFilter& filter, int64_t now_ms) const {
  std::vector<Session*> matching;
  for (const auto& [id, session] : sessions_) {
    if (filter.Matches(*session, now_ms)) matching.push_back(session);
  }
  return matching;
}

std::string_view ClientRegistry::TypeOf(const Session& session) {
  return session.is_pubsub() ? "pubsub" : "normal";
}

namespace {

// The letters of CLIENT LIST's flags, in Redis' order.
std::string FlagsOf(const Session& session) {
  std::string flags;
  if (session.monitoring) flags += 'O';
  if (session.is_pubsub()) flags += 'P';
  if (session.transaction.open) flags += 'x';
  if (session.state == SessionState::kDeferred || session.state == SessionState::kPaused) {
    flags += 'b';
  }
  if (session.transaction.watch_failed) flags += 'd';
  if (session.state == SessionState::kClosing) flags += session.close_now() ? 'A' : 'c';
  if (session.identity.unix_socket) flags += 'U';
  if (session.readonly) flags += 'r';
  if (session.no_evict) flags += 'e';
  if (session.no_touch) flags += 'T';
  return flags.empty() ? "N" : flags;
}

}  // namespace

uint64_t ClientRegistry::MemoryOf(const Session& session) {
  return sizeof(Session) + session.transport().InputBytes() + session.transport().InputFreeBytes() +
         session.output.memory_bytes() + session.transaction.queued_bytes;
}

std::string ClientRegistry::Describe(const Session& session, int64_t now_ms) {
  const OutputBuffer& output = session.output;
  uint64_t input_bytes = session.transport().InputBytes();
  uint64_t input_free = session.transport().InputFreeBytes();
  uint64_t pending = output.pending_bytes();
  uint64_t argument_bytes = 0;
  for (std::string_view arg : session.parked_argv) argument_bytes += arg.size();
  uint64_t total = MemoryOf(session);
  const TransactionState& multi = session.transaction;
  return fmt::format(
      "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} "
      "multi={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} rbs={} rbp={} obl={} oll={} omem={} "
      "tot-mem={} events={} cmd={} user={} redir=-1 resp={} lib-name={} lib-ver={}",
      session.id(), session.identity.address, session.identity.local_address, session.identity.fd,
      session.name, (now_ms - session.created_ms) / 1000,
      (now_ms - session.last_interaction_ms) / 1000, FlagsOf(session), session.database,
      session.subscriptions.channels.size(), session.subscriptions.patterns.size(),
      session.subscriptions.shard_channels.size(), multi.open ? int64_t(multi.queue.size()) : -1,
      input_bytes, input_free, argument_bytes, multi.queued_bytes, OutputBuffer::kChunkBytes, 0,
      output.chunk_count() > 0 ? 0 : pending, output.chunk_count(),
      output.chunk_count() > 0 ? output.memory_bytes() : 0, total, pending > 0 ? "rw" : "r",
      session.last_command ? session.last_command->name() : "NULL",
      session.authenticated ? "default" : "(superuser)", session.resp, session.library_name,
      session.library_version);
}

void ClientRegistry::Pause(PauseScope scope, int64_t until_ms) {
  pause_ = std::max(pause_, scope);
  pause_until_ms_ = std::max(pause_until_ms_, until_ms);
}

}  // namespace redynamo
