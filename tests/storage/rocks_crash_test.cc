// SPDX-License-Identifier: Apache-2.0
// Goal: a batch survives SIGKILL whole or not at all. Method: a child process (this binary, with
// only the test case "rocks child") commits batches, each of which writes its number into heads,
// rows and meta; it is killed at random moments, and the store must then hold one number throughout
// and every number that the child reported.
#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "base/random.h"
#include "storage/rocks_row_store.h"
#include "storage/row_format.h"
#include "tests/support/scratch_directory.h"

using namespace redynamo;

namespace {

constexpr char kChildDirectory[] = "REDYNAMO_ROCKS_CHILD_DIRECTORY";
constexpr uint64_t kKeys = 200;

std::string Head(uint64_t n) { return EncodeHeadKey({0, n, "key"}); }
std::string Row(uint64_t n) { return EncodeRowKey({0, 1, "key", 0, n, "e"}); }

// What the store holds in all places, or an empty string when they differ.
std::string OnlyNumber(RowStore* store) {
  std::string number = store->GetMeta("number").value().value_or("0");
  uint64_t count = 0;
  for (auto i = store->NewHeadIterator("", ""); i->Valid(); i->Next(), count++) {
    if (i->value() != number) return "";
  }
  for (auto i = store->NewRowIterator("", ""); i->Valid(); i->Next(), count++) {
    if (i->value() != number) return "";
  }
  return count == (number == "0" ? 0 : kKeys * 3 / 2) ? number : "";
}

// Reads the numbers that the child reports, until `count` of them have come or it has ended.
uint64_t LastReported(int from_child, uint64_t count) {
  std::string text;
  char c = 0;
  uint64_t last = 0;
  while (count > 0 && read(from_child, &c, 1) == 1) {
    if (c != '\n') {
      text += c;
      continue;
    }
    last = std::stoull(text);
    text.clear();
    count--;
  }
  return last;
}

pid_t StartChild(const std::string& directory, int report_to) {
  setenv(kChildDirectory, directory.c_str(), 1);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, report_to, 3);
  const char* argv[] = {"storage_test", "--test-case=rocks child*", nullptr};
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, "/proc/self/exe", &actions, nullptr, const_cast<char**>(argv),
                      environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  unsetenv(kChildDirectory);
  return child;
}

}  // namespace

TEST_CASE("rocks child: commits and reports until killed, when started by the test below") {
  const char* directory = getenv(kChildDirectory);
  if (directory == nullptr) return;
  RocksRowStoreOptions options;
  options.file_bytes_max = 2000;
  auto store = RocksRowStore::Open(directory, options);
  REQUIRE(store.ok());
  for (uint64_t n = std::stoull((*store)->GetMeta("number").value().value_or("0")) + 1;; n++) {
    std::string number = std::to_string(n);
    auto batch = (*store)->NewIngest();
    KeyRange range = RowRange(0, 1, "key");
    REQUIRE(batch->DeleteRowRange(range.lower, range.upper).ok());
    for (uint64_t i = 0; i < kKeys; i++) {
      REQUIRE(batch->PutHead(Head(i), number).ok());
      if (i % 2 == n % 2) REQUIRE(batch->PutRow(Row(i), number).ok());
    }
    REQUIRE(batch->PutMeta("number", number).ok());
    REQUIRE(batch->Commit().ok());
    number += '\n';
    if (write(3, number.data(), number.size()) < 0) return;
  }
}

TEST_CASE("rocks: killed at any moment, each batch is in all families or in none") {
  ScratchDirectory directory;
  Random random(SystemRandom64());
  for (int round = 0; round < 6; round++) {
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    pid_t child = StartChild(directory / "db", pipe_ends[1]);
    close(pipe_ends[1]);
    uint64_t reported = LastReported(pipe_ends[0], 1 + random.Below(4));
    poll(nullptr, 0, int(random.Below(20)));  // the moment is random, nothing is waited for
    kill(child, SIGKILL);
    int ignored = 0;
    waitpid(child, &ignored, 0);
    uint64_t last = std::max(reported, LastReported(pipe_ends[0], UINT64_MAX));
    close(pipe_ends[0]);

    auto store = RocksRowStore::Open(directory / "db", {});
    REQUIRE_MESSAGE(store.ok(), store.status().message());
    std::string number = OnlyNumber(store->get());
    REQUIRE(number != "");
    CHECK(std::stoull(number) >= last);
    CHECK(std::stoull(number) <= last + 1);
    CHECK(last > 0);
  }
}
