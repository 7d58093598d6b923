// SPDX-License-Identifier: Apache-2.0
#include "protocol/resp_reader.h"

#include <doctest/doctest.h>

#include <string>

#include "protocol/resp_writer.h"

namespace redynamo {
namespace {

Reply Everything() {
  Reply reply = Reply::Array();
  reply.AddInteger(-5).AddBulk(std::string("a\r\n\0b", 5)).Add(Reply::Nil()).AddBulk("");
  Reply map = Reply::Map();
  map.AddView("double").Add(Reply::Double(1.5)).AddView("flag").Add(Reply::Boolean(true));
  Reply set = Reply::Set();
  set.AddView("x");
  reply.Add(std::move(map)).Add(std::move(set)).Add(Reply::Verbatim("text"));
  reply.Add(Reply::NilArray()).Add(Reply::Ok()).Add(Reply::Error("ERR no"));
  return reply;
}

TEST_CASE("resp_reader: values of both versions are taken apart and skipped whole") {
  for (RespVersion version : {RespVersion::kResp2, RespVersion::kResp3}) {
    std::string bytes;
    WriteReply(Everything(), version, &bytes);
    std::string twice = bytes + bytes;
    std::string_view rest = twice, whole;
    REQUIRE(SkipResp(&rest, &whole));
    CHECK(whole == bytes);
    CHECK(rest == bytes);

    RespValue value;
    REQUIRE(ReadResp(&rest, &value));
    CHECK(value.type == '*');
    CHECK(value.items == 10);
    REQUIRE(ReadResp(&rest, &value));
    CHECK(value.integer == -5);
    REQUIRE(ReadResp(&rest, &value));
    CHECK(value.text == std::string_view("a\r\n\0b", 5));
    CHECK(!value.nil);
    REQUIRE(ReadResp(&rest, &value));
    CHECK(value.nil);
    REQUIRE(ReadResp(&rest, &value));
    CHECK(value.text.empty());
    CHECK(!value.nil);
    for (int i = 0; i < 5; i++) REQUIRE(SkipResp(&rest, &whole));
    REQUIRE(ReadResp(&rest, &value));
    CHECK(value.type == '-');
    CHECK(value.text == "ERR no");
    CHECK(rest.empty());
  }
}

TEST_CASE("resp_reader: no part of a reply, and no wrong length, is taken for a whole one") {
  std::string bytes;
  WriteReply(Everything(), RespVersion::kResp3, &bytes);
  for (size_t size = 0; size < bytes.size(); size++) {
    std::string_view rest = std::string_view(bytes).substr(0, size), whole;
    CHECK(!SkipResp(&rest, &whole));
    CHECK(rest.size() == size);  // as it was
  }
  for (std::string_view wrong :
       {"$5\r\nabc\r\n", "$2\r\nabc\r\n", "$-2\r\n", "$9223372036854775807\r\nabc\r\n",
        "*4000000000000000000\r\n", "%9223372036854775807\r\n", "*-2\r\n", ":12x\r\n", "?\r\n",
        "\r\n"}) {
    CAPTURE(wrong);
    std::string_view rest = wrong, whole;
    CHECK(!SkipResp(&rest, &whole));
  }
}

}  // namespace
}  // namespace redynamo
