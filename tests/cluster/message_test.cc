// SPDX-License-Identifier: Apache-2.0
#include "cluster/message.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "base/bytes.h"
#include "base/random.h"

using namespace redynamo;
using namespace redynamo::wire;

namespace {

Id128 Id(uint8_t seed) {
  Id128 id;
  for (size_t i = 0; i < id.size(); ++i) id[i] = uint8_t(seed + i);
  return id;
}

template <typename T>
std::string Encoded(const T& message) {
  std::string bytes;
  Message(message).EncodeTo(&bytes);
  return bytes;
}

// Calls visit with one well-filled message of every kind, and with some at their bounds.
template <typename Visit>
void ForEachExchangeMessage(Visit&& visit) {
  visit(Clocks{.entries = {{0, 1, 2}, {kPartitionsMax - 1, UINT64_MAX, 0}}});
  visit(Report{.partition = 1023, .clock = "clock"});
  visit(Pull{.request_id = 8,
             .partition = 300,
             .max_bytes = 1 << 20,
             .irregular_hash = 77,
             .clock = "clock"});
  visit(PullBatch{.request_id = 8, .partition = 300, .more = true, .batch = "rows"});
  visit(PullNeedFull{.request_id = 8, .partition = 300});
  visit(Compare{.request_id = 3, .entries = {{0, 1}, {kPartitionsMax - 1, UINT64_MAX}}});
  visit(CompareReply{.request_id = 3, .view_epoch = 5, .entries = {{0, ""}, {1023, "clock"}}});
  visit(FullGet{.request_id = 9, .partition = 300, .cursor = 1ull << 60, .max_bytes = 1 << 20});
  visit(FullPiece{.request_id = 9, .partition = 300, .next = 7, .rows = "rows"});
  visit(TreeGet{
      .request_id = 4, .partition = 1023, .root = 5, .irregular_hash = UINT64_MAX, .clock = "c"});
  visit(Leaves{.request_id = 4,
               .partition = 1023,
               .answer = TreeAnswer::kLeaves,
               .clock = "clock",
               .leaves = {{0, 16368, true, 7}, {15, 16383, false, UINT64_MAX}}});
  visit(LeafRows{.request_id = 4,
                 .ns = 1,
                 .slot = 16383,
                 .flags = LeafRows::kAnswer,
                 .repaired = 9,
                 .rows = "rows"});
}

template <typename Visit>
void ForEachMessage(Visit&& visit) {
  visit(Hello{.version = 3,
              .oldest_version = 2,
              .capabilities = 1ull << 63,
              .cluster_id = Id(1),
              .node_id = Id(2),
              .actor = Id(3),
              .process = UINT64_MAX,
              .ring_epoch = 17,
              .wall_ms = -5,
              .partitions = kPartitionsMax,
              .databases = kDatabaseMax + 1,
              .ring_address = "[::1]:7000",
              .client_address = std::string(kAddressBytesMax, 'a'),
              .cluster_port = kPortMax});
  visit(Ping{.sequence = 1, .sent_us = INT64_MIN});
  visit(Ack{.sequence = UINT64_MAX, .sent_us = INT64_MAX});
  visit(PingReq{.request_id = 300, .target = Id(9)});
  visit(PingReqReply{.request_id = 300, .target = Id(9), .reachable = true});
  visit(Gossip{.ring_epoch = 4,
               .members = {{Id(1), 7, MemberState::kAlive, {}},
                           {Id(2), kIncarnationMax, MemberState::kDown, {}},
                           {Id(3), 9, MemberState::kSuspect, Id(4)}}});
  visit(RingGet{.have_epoch = 128});
  visit(RingDocument{.epoch = 5, .document = std::string_view("a\0b", 3)});
  visit(JoinRefused{.reason = "no"});
  visit(Bootstrap{.purpose = Bootstrap::kJoin,
                  .expected = 3,
                  .members = {{Id(1), -1, "n1:7000", "n1:6379", 7010, "host", "zone", 100},
                              {Id(2), 1'700'000'000'000, "", "", 0, "", "", 0}}});
  visit(RingPrepare{.epoch = 9, .ballot = {kBallotRoundMax, Id(4)}});
  visit(RingPromise{.epoch = 9, .ballot = {2, Id(4)}, .promised = {3, Id(5)}});
  visit(RingPromise{.epoch = 9,
                    .ballot = {2, Id(4)},
                    .granted = true,
                    .promised = {2, Id(4)},
                    .accepted = {1, Id(5)},
                    .document = std::string_view("a\0b", 3)});
  visit(RingAccept{.epoch = 9, .ballot = {2, Id(4)}, .document = "document"});
  visit(RingAccepted{.epoch = 9, .ballot = {2, Id(4)}, .granted = true, .promised = {2, Id(4)}});
  visit(ViewProgress{
      .ring_epoch = 300, .guests = 2, .entries = {{0, 1}, {kPartitionsMax - 1, UINT64_MAX}}});
  visit(Events{.request_id = 1, .view_epoch = 2, .record = "record"});
  visit(Events{.request_id = 1, .view_epoch = 2, .hinted_for = Id(6), .record = "record"});
  visit(EventsAck{.request_id = 1, .status = EventsStatus::kFailed, .view_epoch = 3});
  ForEachExchangeMessage(visit);
  visit(Read{.request_id = 1, .database = kDatabaseMax, .digest_only = true, .key = "k"});
  visit(ReadReply{.request_id = 1,
                  .view_epoch = 2,
                  .flags = ReadReply::kGuest,
                  .hash = 1ull << 40,
                  .rows = "rows"});
  visit(Forward{.request_id = 1,
                .view_epoch = 9,
                .database = 3,
                .resp_version = 3,
                .hops = 2,
                .flags = Forward::kTransaction,
                .client = 1ull << 40,
                .args = {"SET", "k", ""},
                .share = "bits"});
  visit(ForwardReply{
      .request_id = 1, .status = ForwardStatus::kUnavailable, .view_epoch = 2, .reply = "+OK\r\n"});
  visit(Publish{.sharded = true, .channel = "channel", .message = std::string_view("a\0b", 3)});
  visit(KeyEventsWanted{.classes = UINT32_MAX});
}

template <typename T>
bool Refuses(const std::string& payload) {
  T out;
  return T::Decode(payload, &out).code() == StatusCode::kCorruption;
}

}  // namespace

TEST_CASE("message: every kind comes back as it was, also through VisitMessage") {
  std::set<MessageKind> kinds;
  ForEachMessage([&]<typename T>(const T& message) {
    std::string_view name = MessageName(T::kKind);
    CAPTURE(name);
    std::string payload = Encoded(message);
    T back;
    CHECK(T::Decode(payload, &back).ok());
    CHECK(back == message);
    int visits = 0;
    Status status = VisitMessage(T::kKind, payload, [&]<typename U>(const U& body) {
      if constexpr (std::is_same_v<T, U>) visits += body == message;
      return Status::Ok();
    });
    CHECK(status.ok());
    CHECK(visits == 1);
    kinds.insert(T::kKind);
  });
  int known = 0;
  for (int kind = 0; kind < 256; ++kind) {
    bool is_known = IsKnownMessageKind(uint8_t(kind));
    known += is_known;
    CHECK(is_known == kinds.contains(MessageKind(kind)));
    auto accept = [](const auto&) { return Status::Ok(); };
    StatusCode code = VisitMessage(MessageKind(kind), "", accept).code();
    CHECK((code == StatusCode::kUnsupported) == !is_known);
  }
  CHECK(known == 35);
}

TEST_CASE("message: every truncation and every byte too many is refused") {
  ForEachMessage([]<typename T>(const T& message) {
    std::string_view name = MessageName(T::kKind);
    CAPTURE(name);
    std::string payload = Encoded(message);
    for (size_t size = 0; size < payload.size(); ++size) {
      CHECK(Refuses<T>(payload.substr(0, size)));
    }
    T out;
    bool open = T::kKind == MessageKind::kHello;  // later versions may append to it
    CHECK(T::Decode(payload + '\0', &out).ok() == open);
    Status status = T::Decode("", &out);
    CHECK(status.message() == "malformed " + std::string(name));
  });
}

TEST_CASE("message: changed bytes are refused or another message within its bounds") {
  Random random(5);
  ForEachMessage([&]<typename T>(const T& message) {
    std::string payload = Encoded(message);
    for (int round = 0; round < 3000; ++round) {
      std::string changed = payload;
      for (uint64_t i = 0; i <= random.Below(4); ++i) {
        changed[random.Below(changed.size())] = char(random.Next());
      }
      T out, again;
      if (!T::Decode(changed, &out).ok()) continue;
      std::string bytes = Encoded(out);
      CHECK(T::Decode(bytes, &again).ok());
      CHECK(again == out);
    }
  });
}

TEST_CASE("message: a field outside of its bounds is refused") {
  auto varints = [](std::initializer_list<uint64_t> values) {
    std::string bytes;
    for (uint64_t value : values) PutVarint(&bytes, value);
    return bytes;
  };
  CHECK(!Refuses<PullNeedFull>(varints({1, kPartitionsMax - 1})));
  CHECK(Refuses<PullNeedFull>(varints({1, kPartitionsMax})));
  std::string id(16, 'i');
  CHECK(!Refuses<RingPrepare>(varints({1, kBallotRoundMax}) + id));
  CHECK(Refuses<RingPrepare>(varints({1, kBallotRoundMax + 1}) + id));
  CHECK(!Refuses<ViewProgress>(varints({1, 0, 1, kPartitionsMax - 1, 1})));
  CHECK(Refuses<ViewProgress>(varints({1, 0, 1, kPartitionsMax, 1})));
  CHECK(!Refuses<EventsAck>(varints({1, 5, 1})));
  CHECK(Refuses<EventsAck>(varints({1, 6, 1})));
  CHECK(!Refuses<ForwardReply>(varints({1, 3, 1, 0})));
  CHECK(Refuses<ForwardReply>(varints({1, 4, 1, 0})));
  CHECK(!Refuses<Read>(varints({1, kDatabaseMax, 1, 0})));
  CHECK(Refuses<Read>(varints({1, kDatabaseMax + 1, 1, 0})));
  CHECK(Refuses<Read>(varints({1, 0, 2, 0})));
  CHECK(!Refuses<Forward>(varints({1, 0, 0, 2, 1, 0, 7, 1, 0, 0})));
  CHECK(Refuses<Forward>(varints({1, 0, 0, 2, 1, 0, 7, 0, 0})));     // no argument
  CHECK(Refuses<Forward>(varints({1, 0, 0, 1, 1, 0, 7, 1, 0, 0})));  // RESP 1
  CHECK(Refuses<Forward>(varints({1, 0, 0, 4, 1, 0, 7, 1, 0, 0})));  // RESP 4
  Hello hello{.node_id = Id(1), .client_address = std::string(kAddressBytesMax + 1, 'a')};
  CHECK(Refuses<Hello>(Encoded(hello)));
  CHECK(!Refuses<Hello>(Encoded(Hello{.cluster_port = kPortMax})));
  CHECK(Refuses<Hello>(Encoded(Hello{.cluster_port = kPortMax + 1})));
}

TEST_CASE("message: a list's count claims no more than its payload can hold") {
  std::string many;
  PutVarint(&many, kPartitionsMax);
  CHECK(Refuses<Clocks>(many));
  Clocks clocks;
  clocks.entries.resize(kPartitionsMax);
  CHECK(!Refuses<Clocks>(Encoded(clocks)));
  clocks.entries.resize(kPartitionsMax + 1);
  CHECK(Refuses<Clocks>(Encoded(clocks)));

  ViewProgress progress;
  progress.entries.resize(kPartitionsMax);
  CHECK(!Refuses<ViewProgress>(Encoded(progress)));
  progress.entries.resize(kPartitionsMax + 1);
  CHECK(Refuses<ViewProgress>(Encoded(progress)));

  Bootstrap bootstrap;
  bootstrap.members.resize(kMembersMax + 1);
  CHECK(Refuses<Bootstrap>(Encoded(bootstrap)));
  bootstrap.members.pop_back();
  CHECK(!Refuses<Bootstrap>(Encoded(bootstrap)));

  Forward forward;
  forward.args.resize(kForwardArgsMax);
  CHECK(!Refuses<Forward>(Encoded(forward)));
  forward.args.emplace_back();
  CHECK(Refuses<Forward>(Encoded(forward)));
}
