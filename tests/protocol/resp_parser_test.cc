// SPDX-License-Identifier: Apache-2.0
#include "protocol/resp_parser.h"

#include <doctest/doctest.h>

#include <cstring>
#include <string>

#include "base/clock.h"
#include "base/random.h"

using namespace redynamo;

namespace {

using Args = std::vector<std::string>;

std::string Encode(const Args& args) {
  std::string out = "*" + std::to_string(args.size()) + "\r\n";
  for (const std::string& arg : args) {
    out += "$" + std::to_string(arg.size()) + "\r\n" + arg + "\r\n";
  }
  return out;
}

// What came out: the requests, and the error that ended them, if any.
struct Parsed {
  std::vector<Args> requests;
  std::string error;
  bool operator==(const Parsed&) const = default;
};

void Drain(RespParser* parser, Parsed* into) {
  Request request;
  ParseResult result;
  while ((result = parser->Next(&request)) == ParseResult::kRequest) {
    into->requests.emplace_back(request.args.begin(), request.args.end());
  }
  if (result == ParseResult::kError) into->error = parser->error();
}

Parsed Parse(std::string_view input) {
  RespParser parser;
  Parsed parsed;
  CHECK(parser.Feed(input));
  Drain(&parser, &parsed);
  return parsed;
}

std::string ErrorOf(std::string_view input, bool authenticated = true) {
  RespParser parser;
  Parsed parsed;
  parser.SetAuthenticated(authenticated);
  CHECK(parser.Feed(input));
  Drain(&parser, &parsed);
  return parsed.error;
}

std::string RandomBytes(Random* random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = "\r\n*$ a1\0"[random->Below(8)];
  return bytes;
}

}  // namespace

TEST_CASE("resp_parser: multibulk and inline requests") {
  CHECK(Parse(Encode({"SET", "k", "v"})).requests == std::vector<Args>{{"SET", "k", "v"}});
  CHECK(Parse("PING\r\n").requests == std::vector<Args>{{"PING"}});
  CHECK(Parse("set k \"a b\"\n").requests == std::vector<Args>{{"set", "k", "a b"}});
  CHECK(Parse("*1\r\n$0\r\n\r\n").requests == std::vector<Args>{{""}});
  CHECK(Parse("").requests.empty());
}

TEST_CASE("resp_parser: empty requests are skipped") {
  CHECK(Parse("\r\n\n*0\r\n*-1\r\n   \r\n*-5\r\nPING\r\n").requests == std::vector<Args>{{"PING"}});
}

TEST_CASE("resp_parser: what ends a line or a bulk is skipped unread, as Redis does") {
  CHECK(Parse("*1\r\n$4\r\nPINGxx" + Encode({"PING"})).requests == std::vector<Args>(2, {"PING"}));
  CHECK(Parse("*1\r\r$4\r\rPING\r\n").requests == std::vector<Args>{{"PING"}});
}

TEST_CASE("resp_parser: every cut of a pipeline gives the same requests") {
  std::string input = Encode({"SET", "key", "va\r\nlue"}) + "\r\n*0\r\n" + "set k 'q x'\r\n" +
                      Encode({"GET", ""}) + Encode({"ECHO", std::string(1000, 'x')}) +
                      "*2\r\n$3\r\nGET\r\n$x\r\n";
  Parsed whole = Parse(input);
  CHECK(whole.requests.size() == 4);
  CHECK(whole.error == "ERR Protocol error: invalid bulk length");
  for (size_t cut = 1; cut < input.size(); ++cut) {
    RespParser parser;
    Parsed parsed;
    CHECK(parser.Feed(input.substr(0, cut)));
    Drain(&parser, &parsed);
    if (cut % 2 == 0) parser.Release();
    CHECK(parser.Feed(input.substr(cut)));
    Drain(&parser, &parsed);
    REQUIRE(parsed == whole);
  }
  RespParser parser;
  Parsed parsed;
  for (char c : input) {
    CHECK(parser.Feed({&c, 1}));
    Drain(&parser, &parsed);
    parser.Release();
  }
  CHECK(parsed == whole);
}

TEST_CASE("resp_parser: protocol errors carry the texts of Redis") {
  const std::string kPrefix = "ERR Protocol error: ";
  CHECK(ErrorOf("*x\r\n") == kPrefix + "invalid multibulk length");
  CHECK(ErrorOf("*\r\n") == kPrefix + "invalid multibulk length");
  CHECK(ErrorOf("*01\r\n") == kPrefix + "invalid multibulk length");
  CHECK(ErrorOf("*2147483648\r\n") == kPrefix + "invalid multibulk length");
  CHECK(ErrorOf("*99999999999999999999\r\n") == kPrefix + "invalid multibulk length");
  CHECK(ErrorOf("*-0\r\n") == kPrefix + "invalid multibulk length");
  CHECK(ErrorOf("*1\nx\r\n") == kPrefix + "invalid multibulk length");
  CHECK(ErrorOf("*1\r\n$4xx\r\n") == kPrefix + "invalid bulk length");
  CHECK(ErrorOf("*1\r\nfoo\r\n") == kPrefix + "expected '$', got 'f'");
  CHECK(ErrorOf("*1\r\n\r\n") == kPrefix + "expected '$', got '\r'");
  CHECK(ErrorOf("*1\r\n$-1\r\n") == kPrefix + "invalid bulk length");
  CHECK(ErrorOf("*1\r\n$01\r\n") == kPrefix + "invalid bulk length");
  CHECK(ErrorOf("*1\r\n$\r\n") == kPrefix + "invalid bulk length");
  CHECK(ErrorOf("*1\r\n$536870913\r\n") == kPrefix + "invalid bulk length");
  CHECK(ErrorOf("set k \"v\r\n") == kPrefix + "unbalanced quotes in request");
  CHECK(ErrorOf("*" + std::string(65536, '1')) == kPrefix + "too big mbulk count string");
  CHECK(ErrorOf("*1\r\n$" + std::string(65536, '1')) == kPrefix + "too big bulk count string");
  CHECK(ErrorOf(std::string(65537, 'a')) == kPrefix + "too big inline request");
  CHECK(ErrorOf(std::string(65536, 'a')) == "");
  CHECK(ErrorOf("*1\r\n$536870912\r\n") == "");
  CHECK(ErrorOf("*2147483647\r\n") == "");
}

TEST_CASE("resp_parser: a stranger's requests are bounded") {
  const std::string kPrefix = "ERR Protocol error: ";
  CHECK(ErrorOf("*11\r\n", false) == kPrefix + "unauthenticated multibulk length");
  CHECK(ErrorOf("*10\r\n", false) == "");
  CHECK(ErrorOf("*1\r\n$16385\r\n", false) == kPrefix + "unauthenticated bulk length");
  CHECK(ErrorOf("*1\r\n$16384\r\n", false) == "");
}

TEST_CASE("resp_parser: the longest bulk can be set") {
  RespParser parser;
  Request request;
  parser.SetBulkBytesMax(4);
  CHECK(parser.Feed(Encode({"abcd"})));
  CHECK(parser.Next(&request) == ParseResult::kRequest);
  CHECK(parser.Feed("*1\r\n$5\r\n"));
  CHECK(parser.Next(&request) == ParseResult::kError);
  CHECK(parser.Next(&request) == ParseResult::kError);
}

TEST_CASE("resp_parser: an error leaves the requests in front of it readable") {
  RespParser parser;
  Request first, second;
  CHECK(parser.Feed("PING\r\n*x\r\n"));
  CHECK(parser.Next(&first) == ParseResult::kRequest);
  CHECK(parser.Next(&second) == ParseResult::kError);
  CHECK(first.args[0] == "PING");
}

TEST_CASE("resp_parser: views live until Release, also across further reads") {
  Random random(7);
  RespParser parser;
  std::vector<Args> sent;
  std::string stream;
  for (int i = 0; i < 300; ++i) {
    sent.push_back({"SET", std::to_string(i), RandomBytes(&random, random.Below(3000))});
    stream += Encode(sent.back());
  }
  std::vector<Request> ahead(sent.size());
  size_t parsed = 0, released = 0;
  std::string_view rest = stream;
  while (!rest.empty()) {
    size_t n = std::min(rest.size(), size_t(1 + random.Below(5000)));
    CHECK(parser.Feed(rest.substr(0, n)));
    rest.remove_prefix(n);
    while (parsed < ahead.size() && parser.Next(&ahead[parsed]) == ParseResult::kRequest) ++parsed;
    if (random.Below(40) != 0 && !rest.empty()) continue;
    for (; released < parsed; ++released) {
      const auto& args = ahead[released].args;
      REQUIRE(Args(args.begin(), args.end()) == sent[released]);
    }
    parser.Release();
  }
  CHECK(released == sent.size());
  CHECK(parser.memory_bytes() < 4096);
}

TEST_CASE("resp_parser: random requests come out as they went in") {
  Random random(11);
  for (int round = 0; round < 300; ++round) {
    RespParser parser;
    Parsed got, want;
    std::string stream;
    for (uint64_t i = random.Below(8); i > 0; --i) {
      Args args;
      for (uint64_t n = 1 + random.Below(6); n > 0; --n) {
        size_t top = random.Below(20) == 0 ? 200'000 : 40;
        args.push_back(RandomBytes(&random, random.Below(top)));
      }
      stream += Encode(args);
      want.requests.push_back(args);
    }
    for (std::string_view rest = stream; !rest.empty();) {
      size_t n = std::min(rest.size(), size_t(1 + random.Below(random.Below(2) ? 30 : 30'000)));
      CHECK(parser.Feed(rest.substr(0, n)));
      rest.remove_prefix(n);
      Drain(&parser, &got);
      if (random.Below(2)) parser.Release();
    }
    REQUIRE(got == want);
  }
}

TEST_CASE("resp_parser: a big value is reserved once and given back") {
  constexpr size_t kBytes = 64 << 20;
  RespParser parser;
  Request request;
  CHECK(parser.Feed("*2\r\n$4\r\nECHO\r\n$" + std::to_string(kBytes) + "\r\n"));
  CHECK(parser.Next(&request) == ParseResult::kNeedMore);
  size_t room;
  const char* place = parser.PrepareRead(65536, &room);
  CHECK(room >= kBytes + 2);
  CHECK(parser.memory_bytes() < kBytes + kBytes / 8);
  for (size_t filled = 0; filled < kBytes;) {
    char* to = parser.PrepareRead(65536, &room);
    REQUIRE(to == place + filled);  // no move
    size_t n = std::min(size_t(1 << 20), kBytes - filled);
    std::memset(to, 'x', n);
    parser.CommitRead(n);
    filled += n;
    CHECK(parser.Next(&request) == ParseResult::kNeedMore);
  }
  CHECK(parser.Feed("\r\n*1\r\n$4\r\nPI"));
  CHECK(parser.Next(&request) == ParseResult::kRequest);
  CHECK(request.args[1].size() == kBytes);
  CHECK(request.args[1].find_first_not_of('x') == std::string_view::npos);
  CHECK(parser.Next(&request) == ParseResult::kNeedMore);
  parser.Release();
  CHECK(parser.Feed("NG\r\n"));
  CHECK(parser.memory_bytes() < 100'000);
  CHECK(parser.Next(&request) == ParseResult::kRequest);
  CHECK(request.args[0] == "PING");
}

TEST_CASE("resp_parser: a million arguments in small pieces take linear time") {
  std::string stream = "*1000000\r\n";
  for (int i = 0; i < 1'000'000; ++i)
    stream += "$6\r\n" + std::to_string(100'000 + i % 900'000) + "\r\n";
  RespParser parser;
  Request request;
  int64_t start = SystemClock().MonotonicUs();
  ParseResult result = ParseResult::kNeedMore;
  for (size_t at = 0; at < stream.size(); at += 16'384) {
    CHECK(result == ParseResult::kNeedMore);
    CHECK(parser.Feed(std::string_view(stream).substr(at, 16'384)));
    result = parser.Next(&request);
    parser.Release();
  }
  CHECK(SystemClock().MonotonicUs() - start < 5'000'000);  // about 0.05 s; quadratic: minutes
  REQUIRE(result == ParseResult::kRequest);
  REQUIRE(request.args.size() == 1'000'000);
}

TEST_CASE("resp_parser: an idle connection holds no buffer") {
  RespParser parser;
  Request request;
  CHECK(parser.memory_bytes() == 0);
  size_t room;
  CHECK(parser.PrepareRead(65536, &room) != nullptr);
  CHECK(room >= 16384);
  parser.CommitRead(0);
  CHECK(parser.memory_bytes() == 0);
  CHECK(parser.Feed(Encode({"GET", "k"}) + "\r\n"));
  CHECK(parser.Next(&request) == ParseResult::kRequest);
  CHECK(parser.Next(&request) == ParseResult::kNeedMore);
  parser.Release();
  CHECK(parser.memory_bytes() == 0);
}
