// SPDX-License-Identifier: Apache-2.0
#include "server/forwarded_clients.h"

#include <utility>

#include "server/server.h"

namespace redynamo {
namespace {

constexpr size_t kIdleMax = 1024;

SessionIdentity IdentityFor(Server& server) {
  SessionIdentity who;
  who.id = server.clients().NextId();
  who.address = who.local_address = "ring:0";
  who.loopback = true;
  return who;
}

}  // namespace

class ForwardedClients::Client : public Transport {
 public:
  explicit Client(Server& server) : session_(server, *this, IdentityFor(server)) {
    session_.authenticated = true;
  }

  void Start(const Id128& from, const wire::Forward& command) {
    from_ = from;
    request_id_ = command.request_id;
    session_.hops = uint8_t(command.hops);
    session_.misrouted = false;
    session_.database = int(command.database);
    session_.resp = int(command.resp_version);
    bytes_.clear();
    size_t total = 0;
    for (std::string_view arg : command.args) total += arg.size();
    bytes_.reserve(total);  // the views stay where they are
    args_.clear();
    for (std::string_view arg : command.args) {
      size_t at = bytes_.size();
      bytes_.append(arg);
      args_.emplace_back(bytes_.data() + at, arg.size());
    }
    session_.server().dispatcher().Execute(session_, args_);
  }

  // The whole reply, once it may leave.
  bool Take(uint64_t position, std::string* reply) {
    OutputBuffer& output = session_.output;
    output.Release(position);
    bool done =
        session_.state == SessionState::kRunning || session_.state == SessionState::kClosing;
    if (!done || output.HasHeld()) return false;
    iovec piece;
    while (output.HasReleased()) {
      output.Gather(&piece, 1, false);
      reply->append(static_cast<const char*>(piece.iov_base), piece.iov_len);
      output.Consume(piece.iov_len);
    }
    return true;
  }
  wire::ForwardStatus status() const {
    return session_.misrouted ? wire::ForwardStatus::kStaleView : wire::ForwardStatus::kDone;
  }
  bool reusable() const { return session_.state == SessionState::kRunning; }
  const Id128& from() const { return from_; }
  uint64_t request_id() const { return request_id_; }

  // --- Transport; Flush looks at every client anyway ---
  void Wake() override {}
  void Resume() override {}
  size_t InputBytes() const override { return bytes_.size(); }
  size_t InputFreeBytes() const override { return bytes_.capacity() - bytes_.size(); }

 private:
  Session session_;
  Id128 from_{};
  uint64_t request_id_ = 0;
  std::string bytes_;
  std::vector<std::string_view> args_;
};

ForwardedClients::ForwardedClients(Server& server, Answer answer)
    : server_(server), answer_(std::move(answer)) {}

ForwardedClients::~ForwardedClients() = default;

void ForwardedClients::Execute(const Id128& from, const wire::Forward& command) {
  std::unique_ptr<Client> client;
  if (idle_.empty()) {
    client = std::make_unique<Client>(server_);
  } else {
    client = std::move(idle_.back());
    idle_.pop_back();
  }
  Client& started = *client;
  running_.push_back(std::move(client));
  started.Start(from, command);
}

void ForwardedClients::Flush(uint64_t position) {
  size_t kept = 0;
  for (size_t i = 0; i < running_.size(); i++) {
    std::string reply;
    if (!running_[i]->Take(position, &reply)) {
      if (kept != i) running_[kept] = std::move(running_[i]);
      kept++;
      continue;
    }
    answer_(running_[i]->from(), running_[i]->request_id(), running_[i]->status(), reply);
    if (running_[i]->reusable() && idle_.size() < kIdleMax) {
      idle_.push_back(std::move(running_[i]));
    }
  }
  running_.resize(kept);
}

}  // namespace redynamo
