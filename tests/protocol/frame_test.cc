// SPDX-License-Identifier: Apache-2.0
#include "protocol/frame.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/random.h"

using namespace redynamo;

namespace {

struct Whole {
  uint8_t kind;
  std::string payload;
  bool operator==(const Whole&) const = default;
};

// All that the reader gives for what it has; false at an error.
bool Drain(FrameReader* reader, std::vector<Whole>* into) {
  FramedMessage message;
  FrameResult result;
  while ((result = reader->Next(&message)) == FrameResult::kMessage) {
    into->push_back({message.kind, std::string(message.payload)});
  }
  return result == FrameResult::kNeedMore;
}

std::string ErrorOf(std::string_view stream, FrameReader::Limits limits = {}) {
  FrameReader reader(limits);
  std::vector<Whole> given;
  CHECK(reader.Feed(stream));
  if (Drain(&reader, &given)) return "";
  CHECK(reader.Next(nullptr) == FrameResult::kError);  // it stays so
  return reader.error().message();
}

// A frame with a right checksum and any header.
std::string Frame(uint8_t version, uint8_t kind, uint16_t flags, std::string_view payload) {
  std::string frame;
  PutFixed32(&frame, uint32_t(payload.size()));
  frame += char(version);
  frame += char(kind);
  PutFixed16(&frame, flags);
  PutFixed32(&frame, Crc32c(payload, Crc32c(frame)));
  return frame.append(payload);
}

std::string RandomBytes(Random* random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = char(random->Next());
  return bytes;
}

}  // namespace

TEST_CASE("frame: messages come out as they went in, however the stream is cut") {
  Random random(1);
  std::vector<Whole> sent;
  std::string stream;
  for (size_t size : {0, 1, 5, 100, 65'523, 65'524, 65'525, 200'000}) {
    sent.push_back({uint8_t(random.Next()), RandomBytes(&random, size)});
    AppendMessage(&stream, sent.back().kind, sent.back().payload);
  }
  for (int round = 0; round < 50; ++round) {
    FrameReader reader;
    std::vector<Whole> given;
    std::string_view rest = stream;
    while (!rest.empty()) {
      std::string_view piece = rest.substr(0, 1 + random.Below(round < 2 ? 40'000 : 300'000));
      rest.remove_prefix(piece.size());
      REQUIRE(reader.Feed(piece));
      REQUIRE(Drain(&reader, &given));
    }
    CHECK(given == sent);
    CHECK(reader.pending_bytes() == 0);
  }
}

TEST_CASE("frame: the bytes are as the header says") {
  std::string stream;
  AppendMessage(&stream, 2, "hello");
  CHECK(stream == Frame(1, 2, 0, "hello"));
  std::string written = "before";
  size_t begin = BeginMessage(&written);
  written += "hello";
  EndMessage(&written, begin, 2);
  CHECK(written == "before" + stream);
}

TEST_CASE("frame: a long message goes in parts and comes out whole") {
  Random random(2);
  std::string payload = RandomBytes(&random, 2 * kFramePartBytes + 17);
  std::string stream, in_place;
  AppendMessage(&stream, 9, payload);
  CHECK(stream.size() == payload.size() + 3 * kFrameHeaderBytes);
  size_t begin = BeginMessage(&in_place);
  in_place += payload;
  EndMessage(&in_place, begin, 9);
  CHECK(in_place == stream);
  AppendMessage(&stream, 10, "next");

  FrameReader reader;
  std::vector<Whole> given;
  std::string_view rest = stream;
  while (!rest.empty()) {
    std::string_view piece = rest.substr(0, 1'000'000);
    rest.remove_prefix(piece.size());
    REQUIRE(reader.Feed(piece));
    REQUIRE(Drain(&reader, &given));
  }
  CHECK(given == std::vector<Whole>{{9, payload}, {10, "next"}});
  CHECK(reader.pending_bytes() == 0);
}

TEST_CASE("frame: a payload of exactly a part's size is one frame") {
  std::string stream, payload(kFramePartBytes, 'x');
  AppendMessage(&stream, 1, payload);
  CHECK(stream.size() == payload.size() + kFrameHeaderBytes);
}

TEST_CASE("frame: every truncation waits for more and gives nothing wrong") {
  std::string stream;
  AppendMessage(&stream, 1, "first");
  size_t first = stream.size();
  AppendMessage(&stream, 2, std::string(300, 'x'));
  for (size_t size = 0; size < stream.size(); ++size) {
    FrameReader reader;
    std::vector<Whole> given;
    REQUIRE(reader.Feed(stream.substr(0, size)));
    REQUIRE(Drain(&reader, &given));
    CHECK(given.size() == size_t(size >= first));
    CHECK(reader.pending_bytes() == (size < first ? size : size - first));
  }
}

TEST_CASE("frame: every flipped bit is noticed or waits for more, and gives no message") {
  std::string stream;
  AppendMessage(&stream, 3, "some payload");
  for (size_t bit = 0; bit < stream.size() * 8; ++bit) {
    std::string flipped = stream;
    flipped[bit / 8] = char(flipped[bit / 8] ^ 1 << bit % 8);
    FrameReader reader;
    std::vector<Whole> given;
    REQUIRE(reader.Feed(flipped));
    bool waits = Drain(&reader, &given);
    CHECK(given.empty());
    CHECK((!waits || bit < 32));  // only a length can make it wait
  }
}

TEST_CASE("frame: what is not a frame ends the stream, and the error says why") {
  CHECK(ErrorOf(Frame(2, 1, 0, "x")) == "frame version 2 instead of 1");
  CHECK(ErrorOf(Frame(1, 1, 2, "x")) == "unknown flags in a frame");
  CHECK(ErrorOf(Frame(1, 1, 1, "")) == "an empty part of a message");
  CHECK(ErrorOf(Frame(1, 1, 1, "x") + Frame(1, 2, 0, "y")) ==
        "a frame between the parts of another message");
  CHECK(ErrorOf(std::string("\x01\x00\x00\x04\x01\x01\x00\x00....", 12)) ==
        "a frame of 67108865 bytes is too long here");
  CHECK(ErrorOf("GET / HTTP/1.1\r\n\r\n") == "frame version 47 instead of 1");
  CHECK(ErrorOf("*1\r\n$4\r\nPING\r\n") == "frame version 36 instead of 1");
}

TEST_CASE("frame: a stranger's frames and whole messages are bounded by the reader's limits") {
  FrameReader::Limits limits{.frame_bytes = 10, .message_bytes = 15};
  CHECK(ErrorOf(Frame(1, 1, 0, "1234567890"), limits) == "");
  CHECK(ErrorOf(Frame(1, 1, 0, "12345678901"), limits) == "a frame of 11 bytes is too long here");
  std::string part = Frame(1, 1, 1, "1234567890");
  CHECK(ErrorOf(part + Frame(1, 1, 0, "12345"), limits) == "");
  CHECK(ErrorOf(part + Frame(1, 1, 0, "123456"), limits) == "a frame of 6 bytes is too long here");

  FrameReader reader(limits);
  std::vector<Whole> given;
  reader.SetLimits({});
  CHECK(reader.Feed(Frame(1, 1, 0, std::string(500, 'x'))));
  CHECK(Drain(&reader, &given));
  CHECK(given.size() == 1);
}

TEST_CASE("frame: random bytes never give a message") {
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    FrameReader reader;
    std::vector<Whole> given;
    std::string bytes = RandomBytes(&random, random.Below(200));
    if (bytes.size() > 8 && round % 2 == 0) {  // behind the first checks
      bytes[2] = bytes[3] = bytes[6] = bytes[7] = 0;
      bytes[4] = 1;
    }
    REQUIRE(reader.Feed(bytes));
    Drain(&reader, &given);
    CHECK(given.empty());
  }
}
