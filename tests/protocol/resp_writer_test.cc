// SPDX-License-Identifier: Apache-2.0
#include "protocol/resp_writer.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace redynamo;

namespace {

std::string In2(const Reply& reply) {
  std::string out;
  WriteReply(reply, RespVersion::kResp2, &out);
  return out;
}

std::string In3(const Reply& reply) {
  std::string out;
  WriteReply(reply, RespVersion::kResp3, &out);
  return out;
}

}  // namespace

TEST_CASE("resp_writer: scalars") {
  CHECK(In2(Reply::None()) == "");
  CHECK(In2(Reply::Ok()) == "+OK\r\n");
  CHECK(In3(Reply::StaticStatus("PONG")) == "+PONG\r\n");
  CHECK(In2(Reply::Bulk(std::string("a\0\r\n", 4))) == std::string("$4\r\na\0\r\n\r\n", 10));
  CHECK(In2(Reply::View("")) == "$0\r\n\r\n");
  for (int64_t value : {int64_t(0), int64_t(9), int64_t(10), int64_t(-1), INT64_MIN, INT64_MAX}) {
    CHECK(In2(Reply::Integer(value)) == ":" + std::to_string(value) + "\r\n");
    CHECK(In3(Reply::Integer(value)) == ":" + std::to_string(value) + "\r\n");
  }
  CHECK(In2(Reply::View(std::string(12345, 'x'))).substr(0, 8) == "$12345\r\n");
}

TEST_CASE("resp_writer: what differs between the versions") {
  CHECK(In2(Reply::Nil()) == "$-1\r\n");
  CHECK(In3(Reply::Nil()) == "_\r\n");
  CHECK(In2(Reply::NilArray()) == "*-1\r\n");
  CHECK(In3(Reply::NilArray()) == "_\r\n");
  CHECK(In2(Reply::Boolean(true)) == ":1\r\n");
  CHECK(In3(Reply::Boolean(true)) == "#t\r\n");
  CHECK(In3(Reply::Boolean(false)) == "#f\r\n");
  CHECK(In2(Reply::Verbatim("hey")) == "$3\r\nhey\r\n");
  CHECK(In3(Reply::Verbatim("hey")) == "=7\r\ntxt:hey\r\n");
  CHECK(In2(Reply::Double(3.14)) == "$4\r\n3.14\r\n");
  CHECK(In3(Reply::Double(3.14)) == ",3.14\r\n");
  CHECK(In3(Reply::Double(10)) == ",10\r\n");
  CHECK(In2(Reply::Double(INFINITY)) == "$3\r\ninf\r\n");
  CHECK(In3(Reply::Double(-INFINITY)) == ",-inf\r\n");
  CHECK(In3(Reply::Double(NAN)) == ",nan\r\n");
}

TEST_CASE("resp_writer: aggregates nest, and maps are flat in RESP2") {
  Reply map = Reply::Map();
  Reply set = Reply::Set();
  set.AddInteger(1).Add(Reply::Nil()).AddInteger(2);
  map.AddView("k").Add(std::move(set));
  CHECK(In2(map) == "*2\r\n$1\r\nk\r\n*3\r\n:1\r\n$-1\r\n:2\r\n");
  CHECK(In3(map) == "%1\r\n$1\r\nk\r\n~3\r\n:1\r\n_\r\n:2\r\n");
  Reply push = Reply::Push();
  push.AddView("message").Add(Reply::Array());
  CHECK(In2(push) == "*2\r\n$7\r\nmessage\r\n*0\r\n");
  CHECK(In3(push) == ">2\r\n$7\r\nmessage\r\n*0\r\n");
}

TEST_CASE("resp_writer: no line break of a text reaches the wire") {
  CHECK(In2(Reply::Error("ERR simple")) == "-ERR simple\r\n");
  CHECK(In3(Reply::ErrorText("\r\nERR a\r\nb\nc\r\n")) == "-ERR a  b c\r\n");
  CHECK(In2(Reply::StatusText("a\nb")) == "+a b\r\n");
}

TEST_CASE("resp_writer: piecewise headers match the whole replies") {
  std::string out;
  AppendMapHeader(2, RespVersion::kResp2, &out);
  AppendMapHeader(2, RespVersion::kResp3, &out);
  AppendSetHeader(0, RespVersion::kResp2, &out);
  AppendPushHeader(12, RespVersion::kResp3, &out);
  AppendArrayHeader(100, &out);
  CHECK(out == "*4\r\n%2\r\n*0\r\n>12\r\n*100\r\n");
}
