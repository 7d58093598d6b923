// SPDX-License-Identifier: Apache-2.0
// Clients over real sockets, with the data thread owning them and with I/O threads. What holds for
// one holds for the other; the race detector watches both.
#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/live_server.h"

namespace redynamo {
namespace {

constexpr const char* kBothWays[] = {"io-threads 1\nappendfsync everysec",
                                     "io-threads 4\nappendfsync everysec"};

// Runs body(0) … body(n - 1), each in a thread of its own. They report what is wrong as text:
// doctest's checks are for one thread.
void InParallel(int n, const std::function<std::string(int)>& body) {
  std::vector<std::thread> threads;
  std::vector<std::string> wrong(size_t(n), "");
  for (int i = 0; i < n; ++i) {
    threads.emplace_back([&, i] { wrong[size_t(i)] = body(i); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : wrong) CHECK(text == "");
}

std::string Repeat(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

std::string Bulk(std::string_view bytes) {
  return "$" + std::to_string(bytes.size()) + "\r\n" + std::string(bytes) + "\r\n";
}

int64_t Clients(Socket& socket) { return InfoNumber(socket, "connected_clients"); }

// Sends `rounds` pipelines and compares every byte of the replies. Lengths and cuts vary.
std::string DrivePipelines(const LiveServer& server, int client, int rounds) {
  Socket socket(server);
  std::string key = "counter" + std::to_string(client);
  int64_t expected = 0;
  for (int round = 0; round < rounds; ++round) {
    int length = round % 5 == 4 ? 1500 : 1 + (client * 7 + round * 13) % 90;
    std::string requests, replies;
    for (int i = 0; i < length; ++i) {
      std::string value = std::to_string(++expected);
      requests += "INCR " + key + "\r\n*3\r\n$4\r\nSADD\r\n" + Bulk(key + ":set") + Bulk(value) +
                  "ECHO " + value + "\r\n";
      replies += ":" + value + "\r\n:1\r\n" + Bulk(value);
    }
    size_t cut = requests.size() * size_t(round % 7) / 7;
    if (!socket.Send(requests.substr(0, cut))) return "cannot send";
    if (!socket.Send(requests.substr(cut))) return "cannot send the rest";
    if (socket.Read(replies.size()) != replies) return "a reply is wrong or out of order";
  }
  return "";
}

TEST_CASE("io threads: pipelines of many clients are answered in order") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    InParallel(12, [&](int i) { return DrivePipelines(server, i, 20); });
    Socket socket(server);
    bool threaded = std::string_view(options).find("io-threads 4") != std::string_view::npos;
    CHECK(InfoNumber(socket, "io_threads_active") == int(threaded));
    CHECK(InfoNumber(socket, "total_reads_processed") > 240);
    CHECK(InfoNumber(socket, "total_net_output_bytes") > 100'000);
    CHECK((InfoNumber(socket, "io_threaded_reads_processed") > 0) == threaded);
    CHECK((InfoNumber(socket, "io_threaded_writes_processed") > 0) == threaded);
  }
}

TEST_CASE("io threads: replies under appendfsync always wait for the sync, in order") {
  LiveServer server("io-threads 3\nappendfsync always");
  InParallel(6, [&](int i) { return DrivePipelines(server, i, 6); });
}

TEST_CASE("io threads: a message reaches subscribers of every thread, in order") {
  constexpr int kMessages = 300;
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    std::atomic<int> subscribed{0};
    InParallel(10, [&](int i) -> std::string {
      Socket socket(server);
      if (i >= 8) {  // two publishers
        if (!Eventually([&] { return subscribed == 8; })) return "not all subscribed";
        std::string channel = i == 8 ? "a" : "b";
        for (int n = 0; n < kMessages; ++n) {
          std::string publish = "PUBLISH " + channel + " " + std::to_string(n) + "\r\n";
          if (!socket.Ask(publish, ":8\r\n")) return "not eight receivers";
        }
        return "";
      }
      if (!socket.Ask("SUBSCRIBE a b\r\n",
                      "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n"
                      "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n")) {
        return "no confirmation";
      }
      subscribed++;
      int next[2] = {0, 0};
      while (next[0] < kMessages || next[1] < kMessages) {
        if (socket.ReadLine() != "*3\r\n" || socket.ReadBulk() != "message") return "no message";
        int which = socket.ReadBulk() == "b";
        if (socket.ReadBulk() != std::to_string(next[which]++)) return "lost or out of order";
      }
      return "";
    });
  }
}

TEST_CASE("io threads: MONITOR sees the commands of every thread's clients") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    Socket monitor(server);
    CHECK(monitor.Ask("MONITOR\r\n", "+OK\r\n"));
    InParallel(4, [&](int i) {
      Socket socket(server);
      return socket.Ask(Repeat("PING\r\n", 50), Repeat("+PONG\r\n", 50)) ? "" : "no PONG";
    });
    for (int i = 0; i < 200; ++i) {
      std::string line = monitor.ReadLine();
      REQUIRE_MESSAGE(line.find("\"PING\"") != std::string::npos, line);
    }
  }
}

TEST_CASE("io threads: CLIENT KILL closes clients of other threads, whatever they do") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    Socket killer(server);
    for (int round = 0; round < 10; ++round) {
      std::vector<std::unique_ptr<Socket>> victims;
      for (int i = 0; i < 6; ++i) victims.push_back(std::make_unique<Socket>(server));
      for (auto& victim : victims) CHECK(victim->Ask("PING\r\n", "+PONG\r\n"));
      CHECK(victims[0]->Send("SUBSCRIBE news\r\n"));
      CHECK(victims[1]->Send("MULTI\r\nSET a b\r\n"));
      CHECK(victims[2]->Send("*2\r\n$4\r\nECHO\r\n$9\r\nhal"));
      CHECK(victims[3]->Send(Repeat("ECHO 0123456789012345678901234567890123456789\r\n", 20000)));
      CHECK(killer.Send("CLIENT KILL TYPE normal SKIPME yes\r\nCLIENT KILL TYPE pubsub\r\n"));
      CHECK(killer.ReadLine()[0] == ':');
      CHECK(killer.ReadLine()[0] == ':');
      for (auto& victim : victims) victim->ReadToEnd();  // would not end otherwise
      CHECK(Eventually([&] { return Clients(killer) == 1; }));
    }
    CHECK(InfoNumber(killer, "pubsub_channels") == 0);
  }
}

TEST_CASE("io threads: at the end of input whole commands are answered, half ones are not") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    Socket steady(server);
    for (std::string_view half :
         {"*2\r\n$4\r\nECHO\r\n$9\r\nhal", "*2\r\n$4\r", "PIN", "*1\r\n$4\r\n"}) {
      Socket socket(server);
      CHECK(socket.Send(Repeat("PING\r\n", 3000) + std::string(half)));
      socket.ShutDownWriting();
      CHECK(socket.ReadToEnd() == Repeat("+PONG\r\n", 3000));
    }
    {
      Socket socket(server);
      CHECK(socket.Ask("SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"));
      socket.ShutDownWriting();
      CHECK(socket.ReadToEnd() == "");
    }
    CHECK(Eventually([&] { return Clients(steady) == 1; }));
  }
}

TEST_CASE("io threads: a protocol error is answered behind the replies before it") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    Socket socket(server);
    CHECK(socket.Send(Repeat("PING\r\n", 100) + "*1\r\n$-5\r\n" + Repeat("PING\r\n", 100)));
    CHECK(socket.ReadToEnd() ==
          Repeat("+PONG\r\n", 100) + "-ERR Protocol error: invalid bulk length\r\n");
    Socket quitter(server);
    CHECK(quitter.Send(Repeat("PING\r\n", 100) + "QUIT\r\nSET never set\r\n"));
    CHECK(quitter.ReadToEnd() == Repeat("+PONG\r\n", 100) + "+OK\r\n");
    Socket after(server);
    CHECK(after.Ask("EXISTS never\r\n", ":0\r\n"));
    CHECK(Eventually([&] { return Clients(after) == 1; }));
  }
}

TEST_CASE("io threads: a client that never reads is closed at its limit, others go on") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(std::string(options) + "\nclient-output-buffer-limit normal 3mb 0 0");
    Socket other(server);
    CHECK(other.Ask("SET big " + std::string(50'000, 'x') + "\r\n", "+OK\r\n"));
    std::vector<std::unique_ptr<Socket>> silent;
    for (int i = 0; i < 4; ++i) {
      silent.push_back(std::make_unique<Socket>(server));
      silent.back()->Send(Repeat("GET big\r\n", 600));
    }
    CHECK(Eventually(
        [&] { return InfoNumber(other, "client_output_buffer_limit_disconnections") == 4; }));
    CHECK(Eventually([&] { return Clients(other) == 1; }));
    CHECK(other.AskBulk("GET big\r\n").size() == 50'000);
  }
}

TEST_CASE("io threads: a client that reads late gets everything, however much waits") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    InParallel(3, [&](int) -> std::string {
      Socket socket(server);
      if (!socket.Ask("SET big " + std::string(60'000, 'x') + "\r\n", "+OK\r\n")) return "SET";
      if (!socket.Send(Repeat("GET big\r\nPING\r\n", 300))) return "send";
      for (int i = 0; i < 300; ++i) {
        if (socket.ReadBulk() != std::string(60'000, 'x')) return "a value is wrong";
        if (socket.ReadLine() != "+PONG\r\n") return "out of order";
      }
      return "";
    });
  }
}

TEST_CASE("io threads: large values go in and out while others work") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    InParallel(6, [&](int i) -> std::string {
      if (i >= 2) return DrivePipelines(server, i, 6);
      Socket socket(server);
      std::string key = "large" + std::to_string(i);
      std::string value(size_t(12'000'000 + i), char('a' + i));
      if (!socket.Ask("*3\r\n$3\r\nSET\r\n" + Bulk(key) + Bulk(value), "+OK\r\n")) return "no OK";
      for (int n = 0; n < 3; ++n) {
        if (socket.AskBulk("GET " + key + "\r\n") != value) return "another value";
      }
      return "";
    });
  }
}

TEST_CASE("io threads: commands that wait hold back only their own client") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    Socket saver(server), writer(server), admin(server);
    CHECK(saver.Send("SET a b\r\nSAVE\r\nPING\r\n"));
    CHECK(saver.Read(17) == "+OK\r\n+OK\r\n+PONG\r\n");
    CHECK(admin.Ask("CLIENT PAUSE 60000 WRITE\r\n", "+OK\r\n"));
    CHECK(writer.Send("SET a c\r\nPING\r\nGET a\r\n"));
    CHECK(admin.Ask("GET a\r\n", "$1\r\nb\r\n"));
    Socket gone(server);
    CHECK(gone.Ask("PING\r\n", "+PONG\r\n"));
    CHECK(gone.Send("SET a never\r\n"));
    CHECK(Eventually([&] {
      std::string list = admin.AskBulk("CLIENT LIST\r\n");
      return list.find(" flags=b ") != list.rfind(" flags=b ");
    }));
    gone.Close();
    CHECK(Eventually([&] { return Clients(admin) == 3; }));
    CHECK(admin.Ask("CLIENT UNPAUSE\r\n", "+OK\r\n"));
    CHECK(writer.Read(19) == "+OK\r\n+PONG\r\n$1\r\nc\r\n");
  }
}

TEST_CASE("io threads: CLIENT REPLY, AUTH and CLIENT LIST work as with one thread") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(std::string(options) + "\nrequirepass secret");
    Socket socket(server);
    CHECK(socket.Ask("PING\r\nAUTH secret\r\nPING\r\n",
                     "-NOAUTH Authentication required.\r\n+OK\r\n+PONG\r\n"));
    CHECK(socket.Ask("CLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\n", "+OK\r\n"));
    CHECK(socket.Ask("CLIENT SETNAME me\r\nSELECT 3\r\n", "+OK\r\n+OK\r\n"));
    Socket stranger(server);
    CHECK(stranger.Send("*2\r\n$4\r\nECHO\r\n$20000\r\n"));
    CHECK(stranger.ReadToEnd() == "-ERR Protocol error: unauthenticated bulk length\r\n");
    Socket half(server);
    CHECK(half.Ask("AUTH secret\r\n", "+OK\r\n"));
    CHECK(half.Send("*2\r\n$4\r\nECHO\r\n$9\r\nhal"));
    std::string list;
    CHECK(Eventually([&] {
      list = socket.AskBulk("CLIENT LIST\r\n");
      return list.find(" qbuf=21 ") != std::string::npos;
    }));
    CHECK(list.find(" name=me ") != std::string::npos);
    CHECK(list.find(" db=3 ") != std::string::npos);
    CHECK(list.find(" cmd=client|list ") != std::string::npos);
    CHECK(socket.Send("CONFIG SET io-threads 2\r\n"));
    CHECK(socket.ReadLine() ==
          "-ERR CONFIG SET failed (possibly related to argument "
          "'io-threads') - can't set immutable config\r\n");
  }
}

TEST_CASE("io threads: clients that come and go leave nothing behind") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    Socket steady(server);
    CHECK(steady.Ask("PING\r\n", "+PONG\r\n"));
    InParallel(6, [&](int i) -> std::string {
      for (int n = 0; n < 60; ++n) {
        Socket socket(server);
        if (!socket.connected()) return "refused by the kernel";
        bool asked = n % 3 == 0 || socket.Send("INCR visits\r\n");
        if (asked && n % 3 == 1 && socket.ReadLine()[0] != ':') return "no answer";
      }
      return "";
    });
    CHECK(Eventually([&] { return Clients(steady) == 1; }));
    // Only now: those that had left above, but were not seen to, would count.
    CHECK(steady.Ask("CONFIG SET maxclients 40\r\n", "+OK\r\n"));
    std::vector<std::unique_ptr<Socket>> many;
    for (int i = 0; i < 60; ++i) many.push_back(std::make_unique<Socket>(server));
    int refused = 0, served = 0;
    for (auto& socket : many) {
      socket->Send("PING\r\n");
      std::string line = socket->ReadLine();
      refused += line == "-ERR max number of clients reached\r\n";
      served += line == "+PONG\r\n";
    }
    CHECK(served == 39);
    CHECK(refused + served <= 60);  // a reset may overtake the text
    CHECK(InfoNumber(steady, "rejected_connections") == 21);
    CHECK(steady.Ask("PING\r\n", "+PONG\r\n"));
  }
}

TEST_CASE("io threads: a shutdown lets the replies before it out") {
  for (const char* options : kBothWays) {
    CAPTURE(options);
    LiveServer server(options);
    Socket a(server), b(server);
    CHECK(b.Ask("SUBSCRIBE x\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n"));
    CHECK(a.Send(Repeat("SET k v\r\n", 500) + "PUBLISH x bye\r\nSHUTDOWN NOSAVE\r\nPING\r\n"));
    CHECK(server.WaitForEnd() == 0);
    CHECK(a.Read(504 * 5 - 16) == Repeat("+OK\r\n", 500) + ":1\r\n");
    CHECK(b.Read(33) == "*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$3\r\nbye\r\n");
  }
}

}  // namespace
}  // namespace redynamo
