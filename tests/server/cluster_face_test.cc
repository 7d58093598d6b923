// SPDX-License-Identifier: Apache-2.0
#include "server/cluster_face.h"

#include <doctest/doctest.h>

namespace redynamo {
namespace {

constexpr FaceCommand kWriting{.follows_writes = true};
constexpr FaceCommand kReading{};
constexpr FaceCommand kLooseReading{.reads_anywhere = true};
constexpr FaceCommand kInTransaction{.follows_writes = true, .stays = true};

constexpr FaceCommand kAll[] = {kWriting, kReading, kLooseReading, kInTransaction};

constexpr SlotPlaces kHere{true, true, true, true, false};
constexpr SlotPlaces kOtherHome{true, false, true, true, false};
constexpr SlotPlaces kOverlappingHome{true, false, true, true, true};
constexpr SlotPlaces kNoHome{true, false, false, true, true};
constexpr SlotPlaces kNowhere{};

FaceVerdict First(const FaceCommand& command, const SlotPlaces& places) {
  return JudgeOnFace(command, places, false);
}
FaceVerdict Again(const FaceCommand& command, const SlotPlaces& places) {
  return JudgeOnFace(command, places, true);
}

TEST_CASE("cluster face: the coordinator serves all, whatever was before") {
  for (const FaceCommand& command : kAll) {
    CHECK(First(command, kHere) == FaceVerdict::kServe);
    CHECK(Again(command, kHere) == FaceVerdict::kServe);
  }
}

TEST_CASE("cluster face: writes are sent to the coordinator, reads stay where they see enough") {
  CHECK(First(kWriting, kOtherHome) == FaceVerdict::kMoved);
  CHECK(First(kInTransaction, kOtherHome) == FaceVerdict::kMoved);
  CHECK(First(kLooseReading, kOtherHome) == FaceVerdict::kServeHere);
  CHECK(First(kReading, kOverlappingHome) == FaceVerdict::kServeHere);
  CHECK(First(kWriting, kOverlappingHome) == FaceVerdict::kMoved);
  for (const FaceCommand& command : kAll) {
    CHECK(First(command, kNoHome) == FaceVerdict::kMoved);
  }
}

TEST_CASE("cluster face: who comes again is served, a transaction only by a home") {
  CHECK(Again(kWriting, kOtherHome) == FaceVerdict::kServe);
  CHECK(First(kReading, kOtherHome) == FaceVerdict::kMoved);
  CHECK(Again(kReading, kOtherHome) == FaceVerdict::kServe);
  CHECK(Again(kWriting, kNoHome) == FaceVerdict::kServe);
  CHECK(Again(kInTransaction, kOtherHome) == FaceVerdict::kServeHere);
  CHECK(Again(kInTransaction, kNoHome) == FaceVerdict::kMoved);
}

TEST_CASE("cluster face: nobody is sent to a node without a cluster port, or to none") {
  SlotPlaces places = kNoHome;
  places.coordinator_announced = false;
  for (const FaceCommand& command : kAll) {
    CHECK(First(command, places) == FaceVerdict::kServe);
    CHECK(First(command, kNowhere) == FaceVerdict::kServe);
    CHECK(Again(command, kNowhere) == FaceVerdict::kServe);
  }
  places.home_here = true;
  CHECK(First(kWriting, places) == FaceVerdict::kServe);
  CHECK(First(kInTransaction, places) == FaceVerdict::kServeHere);
}

TEST_CASE("cluster face: a move is remembered for a second, each slot for itself") {
  RecentMoves moves;
  CHECK_FALSE(moves.Lately(0, 0));
  moves.Note(7, 5000);
  CHECK(moves.Lately(7, 5000));
  CHECK(moves.Lately(7, 6000));
  CHECK_FALSE(moves.Lately(7, 6001));
  CHECK_FALSE(moves.Lately(8, 5000));
  CHECK_FALSE(moves.Lately(7 + 256, 5000));
  for (uint16_t slot = 8; slot < 208; slot++) moves.Note(slot, 5500);
  CHECK(moves.Lately(7, 5500));
  for (uint16_t slot = 8; slot < 208; slot++) CHECK(moves.Lately(slot, 5500));
  moves.Note(7 + 256, 5600);
  CHECK_FALSE(moves.Lately(7, 5600));
}

}  // namespace
}  // namespace redynamo
