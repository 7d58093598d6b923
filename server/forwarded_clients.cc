// SPDX-License-Identifier: Apache-2.0
#include "server/forwarded_clients.h"

#include <optional>
#include <utility>

#include "base/number.h"
#include "server/ring_watch.h"
#include "server/server.h"
#include "storage/partition_set.h"

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

  // A copy of the command, for Run.
  void Take(const Id128& from, const wire::Forward& command) {
    stream_ = {from, command.client};
    request_id_ = command.request_id;
    transaction_ = command.flags & wire::Forward::kTransaction;
    watched_ = command.flags & wire::Forward::kWatched;
    session_.quorum = RequestQuorum::Unpack(command.flags >> wire::Forward::kQuorumShift);
    session_.hops = uint8_t(command.hops);
    session_.misrouted = false;
    session_.database = int(command.database);
    session_.resp = int(command.resp_version);
    share_ = PartitionSet::Decode(command.share);
    session_.share = share_ ? &*share_ : nullptr;
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
  }
  void Run() {
    if (transaction_) {
      RunTransaction();
    } else {
      session_.server().dispatcher().Execute(session_, args_);
    }
  }
  bool parked() const { return !reusable() && session_.state != SessionState::kClosing; }

  // The whole reply, once it may leave.
  bool TakeReply(uint64_t position, std::string* reply) {
    OutputBuffer& output = session_.output;
    output.Release(position);
    if (parked() || output.HasHeld()) return false;
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
  const Stream& stream() const { return stream_; }
  uint64_t request_id() const { return request_id_; }

  // --- Transport; Flush looks at every client anyway ---
  void Wake() override {}
  void Resume() override {}
  size_t InputBytes() const override { return bytes_.size(); }
  size_t InputFreeBytes() const override { return bytes_.capacity() - bytes_.size(); }

 private:
  // Its commands are queued as a client's would be, without the replies of that. Counts that are
  // wrong make an empty transaction, or one that its EXEC refuses.
  void RunTransaction() {
    static constexpr std::string_view kMulti[] = {"MULTI"}, kExec[] = {"EXEC"};
    Dispatcher& dispatcher = session_.server().dispatcher();
    session_.reply_mode = ReplyMode::kOff;
    dispatcher.Execute(session_, kMulti);
    std::span<const std::string_view> rest = args_;
    if (watched_) {
      auto behind = TakeWatchedWords(session_.server(), session_, rest);
      if (behind) rest = *behind;
      session_.transaction.queue_failed = !behind;
    }
    uint64_t count;
    while (!rest.empty() && ParseUint64(rest[0], &count) && count > 0 && count < rest.size()) {
      dispatcher.Execute(session_, rest.subspan(1, size_t(count)));
      rest = rest.subspan(1 + size_t(count));
    }
    if (!rest.empty()) session_.transaction.queue_failed = true;
    session_.reply_mode = ReplyMode::kOn;
    dispatcher.Execute(session_, kExec);
  }

  Session session_;
  Stream stream_;
  uint64_t request_id_ = 0;
  bool transaction_ = false;
  bool watched_ = false;  // words of ring_watch.h stand before it
  std::optional<PartitionSet> share_;
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
  client->Take(from, command);
  Stream stream = client->stream();
  bool behind = parked_.contains(stream) || waiting_.contains(stream);
  if (__builtin_expect(behind && command.client != 0, 0)) {
    waiting_[stream].push_back(std::move(client));
  } else {
    Run(std::move(client));
  }
}

void ForwardedClients::Run(std::unique_ptr<Client> client) {
  Client& started = *client;
  running_.push_back(std::move(client));
  started.Run();
  if (started.parked()) parked_[started.stream()] = &started;
}

void ForwardedClients::StartWaiting() {
  std::erase_if(parked_, [](const auto& entry) { return !entry.second->parked(); });
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    auto& [stream, queue] = *it;
    while (!queue.empty() && !parked_.contains(stream)) {
      std::unique_ptr<Client> next = std::move(queue.front());
      queue.pop_front();
      Run(std::move(next));
    }
    it = queue.empty() ? waiting_.erase(it) : std::next(it);
  }
}

// Whoever hears an answer may have more executed here.
void ForwardedClients::Flush(uint64_t position) {
  struct Answered {
    Id128 from;
    uint64_t request_id;
    wire::ForwardStatus status;
    std::string reply;
  };
  std::vector<Answered> answered;
  size_t kept = 0;
  for (size_t i = 0; i < running_.size(); i++) {
    std::string reply;
    if (!running_[i]->TakeReply(position, &reply)) {
      if (kept != i) running_[kept] = std::move(running_[i]);
      kept++;
      continue;
    }
    const Stream& stream = running_[i]->stream();
    answered.push_back(
        {stream.first, running_[i]->request_id(), running_[i]->status(), std::move(reply)});
    auto parked = parked_.find(stream);
    if (parked != parked_.end() && parked->second == running_[i].get()) parked_.erase(parked);
    if (running_[i]->reusable() && idle_.size() < kIdleMax) {
      idle_.push_back(std::move(running_[i]));
    }
  }
  running_.resize(kept);
  for (const Answered& one : answered) answer_(one.from, one.request_id, one.status, one.reply);
}

}  // namespace redynamo
