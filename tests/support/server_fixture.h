// SPDX-License-Identifier: Apache-2.0
// A server without sockets: an engine in a directory of its own, and clients whose replies are
// read as bytes. Commands go in through the real dispatcher.
//
//   ServerFixture server;
//   TestClient a(server), b(server);
//   CHECK(a("SET k v") == "+OK\r\n");
#pragma once

#include <doctest/doctest.h>
#include <poll.h>

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/server.h"
#include "server/tsc_clock.h"

namespace redynamo {

class ServerFixture {
 public:
  // Without an engine the server is as it is while it loads.
  explicit ServerFixture(bool with_engine = true) {
    char name[] = "/tmp/server_test_XXXXXX";
    dir_ = mkdtemp(name);
    REQUIRE(settings.LoadText("dir " + dir_ + "\nappendfsync no\nwarm-up no\n", "the test").ok());
    TscClock::Calibrate();
    server = std::make_unique<Server>(&settings, &clock, 1);
    if (with_engine) Start();
  }
  ~ServerFixture() {
    server.reset();
    std::filesystem::remove_all(dir_);
  }

  void Start() {
    EngineHooks hooks =
        server->MakeEngineHooks([] {}, [](const Status& status) { FAIL(status.message()); });
    EngineOptions options = server->MakeEngineOptions();
    options.max_record_bytes = max_record_bytes;
    auto opened = Engine::Open(options, hooks, &clock);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    server->AttachEngine(std::move(*opened));
  }
  void Restart() {
    REQUIRE(server->engine().Close(true).ok());
    server->DetachEngine().reset();
    Start();
  }
  void AdvanceMs(int64_t ms) {
    clock.AdvanceMs(ms);
    server->RefreshClock();
  }
  void EndTurn() { REQUIRE(server->EndTurn().ok()); }
  // One turn of the loop without a client's doing; gives the background a chance.
  void Turn() {
    server->PollEngine();
    server->Tick(1000);
    EndTurn();
    poll(nullptr, 0, 1);
  }

  uint64_t max_record_bytes = kMaxRecordBytes;  // from the next Start on
  Settings settings;
  ManualClock clock;
  std::unique_ptr<Server> server;

 private:
  std::string dir_;
};

class TestClient : public Transport {
 public:
  explicit TestClient(ServerFixture& fixture) : fixture_(fixture) {
    SessionIdentity who;
    who.id = fixture.server->clients().NextId();
    who.address = "127.0.0.1:" + std::to_string(5000 + who.id);
    who.local_address = "127.0.0.1:6379";
    who.loopback = true;
    session = std::make_unique<Session>(*fixture.server, *this, std::move(who));
  }

  void Wake() override {}
  void Resume() override { resumed++; }
  size_t InputBytes() const override { return 0; }
  size_t InputFreeBytes() const override { return 0; }

  // Sends words that hold no blank, and gives what has come back by the end of the turn, messages
  // that came before included.
  std::string operator()(std::string_view line) {
    Send(line);
    fixture_.EndTurn();
    return Received();
  }
  ExecuteResult Send(std::string_view line) {
    words_.clear();
    args_.clear();
    for (size_t at = 0; at <= line.size();) {
      size_t end = std::min(line.find(' ', at), line.size());
      words_.emplace_back(line.substr(at, end - at));
      at = end + 1;
    }
    for (const std::string& word : words_) args_.push_back(word);
    return fixture_.server->dispatcher().Execute(*session, args_);
  }
  std::string Received() {
    OutputBuffer& output = session->output;
    output.Release(fixture_.server->ReleasablePosition());
    std::string bytes;
    while (output.HasReleased()) {
      iovec pieces[4];
      int count = output.Gather(pieces, 4, false);
      uint64_t taken = 0;
      for (int i = 0; i < count; ++i) {
        bytes.append(static_cast<char*>(pieces[i].iov_base), pieces[i].iov_len);
        taken += pieces[i].iov_len;
      }
      output.Consume(taken);
    }
    return bytes;
  }

  std::unique_ptr<Session> session;
  int resumed = 0;

 private:
  ServerFixture& fixture_;
  std::vector<std::string> words_;  // a parked command's bytes must stay
  std::vector<std::string_view> args_;
};

}  // namespace redynamo
