// SPDX-License-Identifier: Apache-2.0
#include "server/ring.h"

#include <fmt/format.h>

#include <deque>
#include <utility>

#include "base/log_line.h"
#include "cluster/plan.h"
#include "server/ring_watch.h"
#include "server/server.h"
#include "storage/file_system.h"

namespace redynamo {
namespace {

constexpr char kFileName[] = "ring";
constexpr char kVoteFileName[] = "ring-vote";
constexpr int64_t kViewsSpreadMs = 5000;  // until all members have a newer document
constexpr std::string_view kUnknownWrite =
    "-QUORUM too few replicas have answered in time: the outcome of this write is unknown, it may "
    "take effect or not\r\n";
constexpr std::string_view kUnknownForward =
    "-QUORUM the replica that coordinates this key did not answer: the outcome of this command is "
    "unknown, it may have taken effect or not\r\n";
constexpr std::string_view kUnansweredRead =
    "-TRYAGAIN the replica that coordinates this key did not answer. Nothing was changed\r\n";

std::string PathOf(const Config& config) { return config.dir + "/" + kFileName; }
std::string VotePathOf(const Config& config) { return config.dir + "/" + kVoteFileName; }

// A host, or an address that begins with one.
bool IsLoopbackHost(std::string_view host) {
  return host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("::1") ||
         host.starts_with("[::1]");
}

Status WriteDurably(FileSystem& files, const std::string& dir, const std::string& path,
                    std::string_view bytes) {
  std::string fresh = path + ".new";
  {
    Result<std::unique_ptr<File>> file = files.Open(fresh, OpenMode::kCreate);
    if (!file.ok()) return file.status();
    Status status = (*file)->WriteAt(0, bytes);
    if (status.ok()) status = (*file)->Sync();
    if (!status.ok()) return status;
  }
  Status status = files.Rename(fresh, path);
  return status.ok() ? files.SyncDirectory(dir) : status;
}

}  // namespace

bool Ring::Wanted(const Config& config) {
  return config.ring_bootstrap > 1 || config.ring_port != 0 || !config.ring_join.empty() ||
         PosixFileSystem().Exists(PathOf(config)) || PosixFileSystem().Exists(VotePathOf(config));
}

uint16_t Ring::PortOf(const Config& config) {
  int port = config.ring_port ? config.ring_port : config.port + kRingPortsAbove;
  return uint16_t(port > 65535 ? 0 : port);
}

std::string Ring::HostOf(const Config& config) {
  if (!config.ring_announce.empty()) return config.ring_announce;
  for (const std::string& word : config.bind) {
    if (word != "*" && word != "-::*" && word != "::*" && word != "0.0.0.0") return word;
  }
  return "127.0.0.1";
}

Ring::Ring(Server& server, std::function<void()> want_turn)
    : server_(server),
      want_turn_(std::move(want_turn)),
      forwarded_(
          server,
          [this](const Id128& to, uint64_t request_id, wire::ForwardStatus status,
                 std::string_view reply) { node_->AnswerForward(to, request_id, status, reply); }),
      gatherer_(server, [this]() -> Node& { return *node_; }),
      waits_(server, [this]() -> Node& { return *node_; }),
      pubsub_(server),
      changes_(server) {}

Ring::~Ring() = default;

// What would make a ring that cannot form.
Status Ring::CheckSettings() const {
  const Config& config = server_.config();
  if (!config.ring_join.empty()) {
    if (config.ring_bootstrap > 1) {
      return InvalidArgument(
          "ring-bootstrap forms a new ring, ring-join enters one that is there: set one of them");
    }
    return CheckAnnounced(config.ring_join);
  }
  if (config.ring_bootstrap <= 1) return Status::Ok();
  if (config.ring_seeds.size() != size_t(config.ring_bootstrap)) {
    return InvalidArgument("ring-bootstrap is " + std::to_string(config.ring_bootstrap) +
                           ", but ring-seeds names " + std::to_string(config.ring_seeds.size()) +
                           " nodes: name every one of them, this one included");
  }
  return CheckAnnounced(config.ring_seeds);
}

Status Ring::CheckAnnounced(const std::vector<std::string>& others) const {
  const Config& config = server_.config();
  for (const std::string& seed : others) {
    if (!IsLoopbackHost(HostOf(config)) || IsLoopbackHost(seed)) continue;
    return InvalidArgument("other nodes would be told to reach this one at " + HostOf(config) +
                           ", while " + seed +
                           " is on another machine: set ring-announce to this node's address");
  }
  return Status::Ok();
}

Status Ring::Load() {
  std::string path = PathOf(server_.config());
  if (!PosixFileSystem().Exists(path)) {
    if (!PosixFileSystem().Exists(VotePathOf(server_.config()))) return CheckSettings();
    return Corruption("file '" + path +
                      "' is missing, and this data directory belongs to a ring. " +
                      "Copy it from another node of the ring, or restore the data directory");
  }
  Result<std::string> bytes = PosixFileSystem().ReadWhole(path);
  if (!bytes.ok()) return bytes.status();
  Result<RingDocument> document = DecodeRingDocument(*bytes);
  if (!document.ok()) {
    return {document.status().code(),
            "file '" + path + "': " + document.status().message() +
                ". Copy it from another node of the ring, or restore the data directory"};
  }
  if (document->partitions() != server_.config().ring_partitions) {
    return InvalidArgument(
        fmt::format("ring-partitions is {}, but the ring of this node has {}: set that",
                    server_.config().ring_partitions, document->partitions()));
  }
  document_ = std::move(*document);
  path = VotePathOf(server_.config());
  if (!PosixFileSystem().Exists(path)) return Status::Ok();
  bytes = PosixFileSystem().ReadWhole(path);
  if (!bytes.ok()) return bytes.status();
  vote_ = std::move(*bytes);
  return Status::Ok();
}

void Ring::SetLinks(Links* links) {
  links_ = links;
  pubsub_.SetLinks(links);
  const Config& config = server_.config();
  NodeOptions options;
  options.n = config.ring_n;
  options.r = config.ring_r;
  options.w = config.ring_w;
  options.sloppy = config.ring_sloppy;
  options.hint_bytes_max = config.ring_hint_bytes;
  options.serving_p99_ms_max = config.ring_transfer_p99_ms;
  options.timeout_ms = config.ring_timeout_ms;
  options.databases = config.databases;
  options.partitions = config.ring_partitions;
  RingAddress address{HostOf(config), PortOf(config)};
  options.ring_address = address.ToString();
  address.port = uint16_t(config.port);
  options.client_address = address.ToString();
  options.cluster_port = uint16_t(config.cluster_port);
  node_ = std::make_unique<Node>(server_.clock(), *links, *this, server_.randomness().Next(),
                                 std::move(options));
}

Status Ring::EngineReady(Engine* engine) {
  if (node_->formed() || keeping_) {
    node_->SetEngine(engine);
    return Status::Ok();
  }
  if (document_) {
    Status status = node_->Join(engine, *document_, vote_);
    if (status.ok()) return status;
    return {status.code(), "file '" + VotePathOf(server_.config()) + "': " + status.message() +
                               ". This node may have promised what it does not know any more: " +
                               "replace it by a blank one (RING.REPLACE)"};
  }
  node_->SetEngine(engine);
  return Enter(engine);
}

Forming::Self Ring::SelfOf(Engine* engine) const {
  const Config& config = server_.config();
  return {.node_id = engine->NodeId(),
          .ring_address = RingAddress{HostOf(config), PortOf(config)}.ToString(),
          .client_address = RingAddress{HostOf(config), uint16_t(config.port)}.ToString(),
          .cluster_port = uint16_t(config.cluster_port),
          .host = config.ring_host,
          .zone = config.ring_zone,
          .weight = uint32_t(config.ring_weight)};
}

// A node without a ring: forms one, joins one, or waits to be taken into one.
Status Ring::Enter(Engine* engine) {
  const Config& config = server_.config();
  Forming::Self self = SelfOf(engine);
  bool asks = !config.ring_join.empty(), forms = config.ring_bootstrap > 1;
  if (engine->HasEvents()) {
    if (!asks && !forms) return Status::Ok();  // a ring of one, in use
    return InvalidArgument(
        std::string(asks ? "ring-join" : "ring-bootstrap") +
        " is for blank nodes, and this data directory has been written to; start it with an empty "
        "one, or without it");
  }
  if (forms) {
    LogNotice("Waiting for " + std::to_string(config.ring_bootstrap - 1) +
              " other nodes to form a ring with");
    node_->Form(self, uint32_t(config.ring_bootstrap));
    for (const std::string& seed : config.ring_seeds) links_->Connect(seed);
    return Status::Ok();
  }
  if (asks) LogNotice("Asking to be taken into the ring of " + config.ring_join.front());
  node_->AwaitRing(self, asks);
  for (const std::string& member : config.ring_join) links_->Connect(member);
  return Status::Ok();
}

void Ring::EngineGone() {
  if (node_) node_->SetEngine(nullptr);
}

Status Ring::KeepDocument(const RingDocument& document) {
  const Config& config = server_.config();
  if (!document_) {
    // Nothing is kept unless all can be: a member without its engine would be of no use to anybody.
    if (!server_.has_engine()) return {StatusCode::kBusy, "the data is being loaded"};
    bool other_seed = server_.engine().Seed() != document.seed;
    if (other_seed && server_.engine().HasEvents()) {
      return InvalidArgument(
          "this node has been written to, and a ring takes in blank nodes only. Take it out of the "
          "ring (RING.LEAVE on a member), and start it with an empty data directory");
    }
  }
  Status status =
      WriteDurably(PosixFileSystem(), config.dir, PathOf(config), EncodeRingDocument(document));
  if (!status.ok()) return status;
  document_ = document;
  // Which tells a directory whose document was lost from one that never was in a ring.
  if (!PosixFileSystem().Exists(VotePathOf(config))) status = KeepVote({});
  if (!status.ok()) return status;
  view_version_++;
  // Positions are hashed with the ring's seed from here on; nothing has been stored yet.
  if (!server_.has_engine() || server_.engine().Seed() == document.seed) return Status::Ok();
  keeping_ = true;
  status = server_.RestartEngine();
  keeping_ = false;
  return status;
}

Status Ring::KeepVote(std::string_view state) {
  const Config& config = server_.config();
  return WriteDurably(PosixFileSystem(), config.dir, VotePathOf(config), state);
}

// --- from the links ---

void Ring::OnPeerUp(const wire::Hello& hello) {
  want_turn_();
  view_version_++;
  node_->OnPeerUp(hello);
  pubsub_.PeerUp(hello.node_id);
}

void Ring::OnPeerChanged(const wire::Hello& hello) {
  want_turn_();
  view_version_++;
  node_->OnPeerChanged(hello);
}

void Ring::OnPeerDown(const Id128& peer, LinkDown reason) {
  want_turn_();
  pubsub_.PeerDown(peer);
  view_version_++;
  node_->OnPeerDown(peer, reason);
}

Status Ring::OnMessage(const Id128& peer, MessageKind kind, std::string_view payload) {
  want_turn_();
  if (RingPubSub::Takes(kind)) {
    bool member = node_->formed() && node_->document().Find(NodeId{peer});
    return member ? pubsub_.OnMessage(peer, kind, payload) : Status::Ok();
  }
  return node_->OnMessage(peer, kind, payload);
}

void Ring::TurnWritten() {
  node_->TurnWritten();
  waits_.Check();
  pubsub_.TurnWritten();
}

void Ring::Flush(uint64_t position) {
  forwarded_.Flush(position);
  pubsub_.Flush(position);
}

// What the node has made of silence, which no event tells.
void Ring::NoteHealth() {
  if (!node_->formed()) return;
  std::vector<bool> healthy;
  for (const Member& member : node_->document().members) {
    healthy.push_back(node_->Healthy(member.id.bytes));
    healthy.push_back(node_->detector()->OpinionOf(member.id.bytes).state !=
                      wire::MemberState::kDown);
  }
  if (healthy == healthy_) return;
  healthy_ = std::move(healthy);
  view_version_++;
}

void Ring::Tick() {
  node_->Tick();
  waits_.Tick();
  NoteHealth();
  SendAgain();
  if (node_->formed()) changes_.Tick(&*node_, server_.clock().MonotonicUs() / 1000);
  if (sync_points_.empty() || !node_->exchange()) return;
  bool reached = node_->exchange()->AllTold();
  int64_t now_ms = server_.clock().MonotonicUs() / 1000;
  std::vector<SyncPoint> waiting;
  waiting.swap(sync_points_);
  for (SyncPoint& point : waiting) {
    if (reached || point.until_ms <= now_ms) {
      server_.Answer(point.client, SyncPointReply());
    } else {
      sync_points_.push_back(point);
    }
  }
}

void Ring::AwaitSyncPoint(const DeferredReply& client, int64_t timeout_ms) {
  sync_points_.push_back({client, server_.clock().MonotonicUs() / 1000 + timeout_ms});
}

Reply Ring::SyncPointReply() const {
  const Exchange* exchange = node_->exchange();
  if (exchange && exchange->AllTold()) return Reply::Ok();
  std::string owed;
  for (const Member& member : node_->document().members) {
    uint64_t behind =
        member.id.bytes == node_->self() || !exchange ? 0 : exchange->BehindCount(member.id.bytes);
    if (behind == 0) continue;
    owed += (owed.empty() ? "" : ", ") + member.ring_address.ToString() + " lacks something in " +
            std::to_string(behind) + " partitions";
  }
  return Reply::ErrorText("TRYAGAIN not everything is on every replica yet: " + owed);
}

// --- membership ---

Status Ring::ReadyForChange() {
  if (formed()) return Status::Ok();
  if (waiting()) return {StatusCode::kBusy, "this node is on its way into a ring itself"};
  if (!server_.has_engine()) return {StatusCode::kBusy, "the data is being loaded"};
  Engine& engine = server_.engine();
  if (engine.DatabasesSwapped()) {
    return InvalidArgument(
        "SWAPDB has been used here, and a ring numbers databases alike on all nodes: swap them "
        "back "
        "first");
  }
  Forming alone(SelfOf(&engine), 1);  // the message points into it
  wire::Bootstrap said = alone.Message();
  Result<Member> self = MemberOf(said.members[0]);
  if (!self.ok()) return self.status();
  Id128 cluster_id{};
  for (uint8_t& byte : cluster_id) byte = uint8_t(server_.randomness().Next());
  Result<RingDocument> document =
      NewRing(cluster_id, engine.Seed(), PartitionCount(), server_.config().ring_n, {*self});
  if (!document.ok()) return document.status();
  Status kept = KeepDocument(*document);
  if (!kept.ok()) return kept;
  LogNotice("This node is ring " + Id128Digits(cluster_id) + " of one");
  return node_->Join(&engine, *document, {});
}

void Ring::ChangeMembers(RingWish wish, const DeferredReply& client) {
  changes_.Begin(std::move(wish), client, &*node_, server_.clock().MonotonicUs() / 1000);
}

// --- replies that wait ---

void Ring::WriteSettled(const PendingWrites::Waiter& waiter, PendingWrites::Outcome outcome) {
  Session* session = server_.clients().Find(waiter.session_id);
  if (!session) return;
  if (outcome == PendingWrites::Outcome::kReached) {
    session->output.Resolve(waiter.reply_id, server_.turn());
  } else {
    quorum_failures_++;
    server_.stats().CountError("QUORUM");
    bool muted = session->reply_mode == ReplyMode::kOff;
    session->output.ResolveWith(waiter.reply_id, muted ? "" : kUnknownWrite, server_.turn());
  }
  session->transport().Wake();
  NoteSettled(*session);
}

// Not at once: this is called from the middle of other work.
void Ring::NoteSettled(const Session& session) {
  bool waits = session.state == SessionState::kSettling && !session.output.HasHeldReplies();
  if (waits) settled_.push_back(session.id());
}

void Ring::ResumeSettled() {
  forwarded_.StartWaiting();
  for (uint64_t id : std::exchange(settled_, {})) {
    Session* session = server_.clients().Find(id);
    if (session && session->state == SessionState::kSettling) {
      server_.dispatcher().RunParked(*session);
    }
  }
}

void Ring::NoteWrite(Session& session, const Id128& peer, bool writes) {
  if (!writes) return;
  session.NoteWriteThrough(peer, node_->CopiesWhenAnswered(session.request_quorum));
}

Ring::Retry Ring::CommandOf(Session& session, bool writes) {
  Retry command{.session_id = session.id(),
                .reply_id = session.output.Hold(),
                .until_ms = server_.clock().MonotonicUs() / 1000 + server_.config().ring_timeout_ms,
                .argv = {},
                .writes = writes,
                .muted = session.reply_mode != ReplyMode::kOn,
                .database = session.database,
                .resp = session.resp,
                .hops = session.hops,
                .flags = session.request_quorum.Pack() << wire::Forward::kQuorumShift};
  session.output.Commit(0, server_.turn());
  return command;
}

void Ring::ForwardTransaction(Session& session, const Id128& peer, bool writes) {
  std::vector<std::string_view> words;
  std::deque<std::string> counts;
  std::vector<std::string> watched;
  if (!session.watched.empty()) watched = WatchedWords(session);
  words.assign(watched.begin(), watched.end());
  for (const QueuedCommand& queued : session.transaction.queue) {
    std::vector<std::string_view> args = queued.Args();
    words.push_back(counts.emplace_back(std::to_string(args.size())));
    words.insert(words.end(), args.begin(), args.end());
  }
  NoteWrite(session, peer, writes);
  Retry command = CommandOf(session, writes);
  command.flags |= wire::Forward::kTransaction;
  if (!watched.empty()) command.flags |= wire::Forward::kWatched;
  Send(std::move(command), peer, words);
}

void Ring::Forward(Session& session, const Id128& peer, std::span<const std::string_view> argv,
                   bool writes) {
  NoteWrite(session, peer, writes);
  Retry command = CommandOf(session, writes);
  // Views are the same everywhere except while they change.
  if (ViewsChange()) command.argv.assign(argv.begin(), argv.end());
  Send(std::move(command), peer, argv);
}

bool Ring::ViewsChange() const {
  return node_->views_changed_ms() + kViewsSpreadMs > server_.clock().MonotonicUs() / 1000;
}

void Ring::Send(Retry command, const Id128& peer, std::span<const std::string_view> argv) {
  wire::Forward message;
  message.database = uint32_t(command.database);
  message.resp_version = uint32_t(command.resp);
  message.hops = command.hops + 1u;
  message.flags = command.flags;
  message.client = command.session_id;
  message.args.assign(argv.begin(), argv.end());
  bool writes = command.writes;
  node_->SendForward(peer, std::move(message), writes,
                     [this, command = std::move(command)](const ForwardOutcome& outcome) mutable {
                       Session* waiting = server_.clients().Find(command.session_id);
                       if (!waiting) return;
                       std::string_view bytes = outcome.bytes;
                       if (outcome.kind == ForwardOutcome::kNotDone) {
                         int64_t now_ms = server_.clock().MonotonicUs() / 1000;
                         if (!command.argv.empty() && now_ms < command.until_ms) {
                           retries_.push_back(std::move(command));
                           return;
                         }
                         bytes = kUnansweredRead;
                       }
                       if (outcome.kind == ForwardOutcome::kUnknown) {
                         bytes = command.writes ? kUnknownForward : kUnansweredRead;
                       }
                       waiting->output.ResolveWith(command.reply_id, command.muted ? "" : bytes,
                                                   server_.turn());
                       waiting->transport().Wake();
                       NoteSettled(*waiting);
                     });
}

// To whom they belong by now.
void Ring::SendAgain() {
  std::vector<Retry> retries;
  retries.swap(retries_);
  for (Retry& command : retries) {
    std::vector<std::string> owned = command.argv;
    std::vector<std::string_view> argv(owned.begin(), owned.end());
    Id128 peer = server_.dispatcher().CoordinatorOf(argv, command.database).value_or(node_->self());
    Session* session = server_.clients().Find(command.session_id);
    if (session) NoteWrite(*session, peer, command.writes);
    Send(std::move(command), peer, argv);
  }
}

void Ring::ForwardArrived(const Id128& from, const wire::Forward& command) {
  bool known_database = int(command.database) < server_.config().databases;
  bool known_share = command.share.empty() || PartitionSet::Decode(command.share).has_value();
  if (!server_.has_engine() || !formed() || !known_database || !known_share) {
    node_->AnswerForward(from, command.request_id, wire::ForwardStatus::kUnavailable, {});
    return;
  }
  forwarded_.Execute(from, command);
}

}  // namespace redynamo
