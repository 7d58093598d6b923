// SPDX-License-Identifier: Apache-2.0
#include "server/session.h"

#include "server/cluster_face.h"
#include "server/server.h"
#include "storage/partition_set.h"

namespace redynamo {

std::vector<std::string_view> QueuedCommand::Args() const {
  std::vector<std::string_view> args;
  args.reserve(lengths.size());
  const char* at = bytes.data();
  for (uint32_t length : lengths) {
    args.emplace_back(at, length);
    at += length;
  }
  return args;
}

Session::Session(Server& server, Transport& transport, SessionIdentity who)
    : identity(std::move(who)), server_(server), transport_(transport) {
  created_ms = last_interaction_ms = server.now_ms();
  authenticated = server.config().requirepass.empty();
  server.clients().Add(this);
}

Session::~Session() { server_.Forget(*this); }

std::string* Session::Output() {
  if (reply_mode != ReplyMode::kOn) return nullptr;
  server_.Touch(*this);
  return output.Tail();
}

void Session::Write(const Reply& reply) {
  if (std::string* out = Output()) WriteReply(reply, version(), out);
}

void Session::WritePush(const Reply& push) {
  server_.Touch(*this);
  WriteReply(push, version(), output.Tail());
}

void Session::NoteWriteThrough(const Id128& node, int copies) {
  last_write_ms = server_.now_ms();
  auto it = std::ranges::find(written_through, node, &WrittenThrough::node);
  if (it == written_through.end()) {
    written_through.push_back({node, copies});
  } else {
    *it = {node, std::min<int64_t>(it->copies, copies)};
  }
}

DeferredReply Session::Defer() {
  CHECK_THAT(!transaction.running && state == SessionState::kRunning);
  state = SessionState::kDeferred;
  server_.clients().deferred_count++;
  return {id(), ++ticket};
}

void Session::CloseAfterReplies() {
  if (state == SessionState::kDeferred) server_.clients().deferred_count--;
  state = SessionState::kClosing;
  transport_.Wake();
}

void Session::CloseNow() {
  close_now_ = true;
  CloseAfterReplies();
}

}  // namespace redynamo
