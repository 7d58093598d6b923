// SPDX-License-Identifier: Apache-2.0
#include "protocol/frame.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"

namespace redynamo {
namespace {

constexpr uint16_t kMore = 0x0001;
constexpr size_t kChecksummedHeaderBytes = 8;
constexpr size_t kPartsKept = 1 << 20;  // a buffer above this is given back

// Fills in the header that stands in front of its payload, at the end of *out.
void FillHeader(std::string* out, size_t begin, uint8_t kind, uint16_t flags) {
  uint32_t length = uint32_t(out->size() - begin - kFrameHeaderBytes);
  char* header = out->data() + begin;
  std::memcpy(header, &length, 4);
  header[4] = char(kFrameVersion);
  header[5] = char(kind);
  std::memcpy(header + 6, &flags, 2);
  std::string_view whole(header, kFrameHeaderBytes + length);
  uint32_t crc = Crc32c(whole.substr(0, kChecksummedHeaderBytes));
  crc = Crc32c(whole.substr(kFrameHeaderBytes), crc);
  std::memcpy(header + kChecksummedHeaderBytes, &crc, 4);
}

}  // namespace

void AppendMessage(std::string* out, uint8_t kind, std::string_view payload) {
  do {
    std::string_view part = payload.substr(0, kFramePartBytes);
    payload.remove_prefix(part.size());
    size_t begin = BeginMessage(out);
    out->append(part);
    FillHeader(out, begin, kind, payload.empty() ? 0 : kMore);
  } while (!payload.empty());
}

size_t BeginMessage(std::string* out) {
  size_t begin = out->size();
  out->append(kFrameHeaderBytes, '\0');
  return begin;
}

void EndMessage(std::string* out, size_t begin, uint8_t kind) {
  size_t length = out->size() - begin - kFrameHeaderBytes;
  CHECK_THAT(length <= kMessageBytesMax);
  if (length <= kFramePartBytes) return FillHeader(out, begin, kind, 0);
  std::string payload = out->substr(begin + kFrameHeaderBytes);
  out->resize(begin);
  AppendMessage(out, kind, payload);
}

char* FrameReader::PrepareRead(size_t hint, size_t* capacity) {
  DropGiven();
  return buffer_.PrepareRead(hint, frame_bytes_, capacity);
}

void FrameReader::CommitRead(size_t n) { buffer_.CommitRead(n); }

bool FrameReader::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t room;
    char* to = PrepareRead(bytes.size(), &room);
    if (!to) return false;
    size_t n = std::min(room, bytes.size());
    std::memcpy(to, bytes.data(), n);
    CommitRead(n);
    bytes.remove_prefix(n);
  }
  return true;
}

void FrameReader::DropGiven() {
  if (!given_) return;
  given_ = false;
  parts_.clear();
  if (parts_.capacity() > kPartsKept) std::string().swap(parts_);
}

FrameResult FrameReader::Fail(std::string message) {
  error_ = Corruption(std::move(message));
  return FrameResult::kError;
}

// False when the header is not there yet, or (then error() says why) must not be.
bool FrameReader::ReadHeader(Header* header) {
  if (buffer_.size() < kFrameHeaderBytes) return false;
  ByteReader in({buffer_.begin(), kFrameHeaderBytes});
  header->length = in.Fixed32();
  uint8_t version = in.Byte();
  header->kind = in.Byte();
  uint16_t flags = in.Fixed16();
  header->crc = in.Fixed32();
  header->more = flags & kMore;
  if (version != kFrameVersion) {
    Fail("frame version " + std::to_string(version) + " instead of " +
         std::to_string(kFrameVersion));
  } else if (flags & ~kMore) {
    Fail("unknown flags in a frame");
  } else if (header->length > limits_.frame_bytes ||
             parts_.size() + header->length > limits_.message_bytes) {
    Fail("a frame of " + std::to_string(header->length) + " bytes is too long here");
  } else if (in_parts_ && header->kind != parts_kind_) {
    Fail("a frame between the parts of another message");
  } else if (header->more && header->length == 0) {
    Fail("an empty part of a message");
  }
  return error_.ok();
}

FrameResult FrameReader::Next(FramedMessage* message) {
  DropGiven();
  while (error_.ok()) {
    Header header;
    frame_bytes_ = kFrameHeaderBytes;
    bool whole = ReadHeader(&header);
    if (!error_.ok()) break;
    if (whole) frame_bytes_ += header.length;
    if (!whole || buffer_.size() < frame_bytes_) {
      buffer_.Release();
      return FrameResult::kNeedMore;
    }
    std::string_view frame(buffer_.begin(), frame_bytes_);
    std::string_view payload = frame.substr(kFrameHeaderBytes);
    uint32_t crc = Crc32c(payload, Crc32c(frame.substr(0, kChecksummedHeaderBytes)));
    if (crc != header.crc) return Fail("a frame's checksum is wrong");
    buffer_.Consume(frame_bytes_);
    frame_bytes_ = 0;
    if (in_parts_ || header.more) parts_.append(payload);
    parts_kind_ = header.kind;
    bool last_part = in_parts_ && !header.more;
    in_parts_ = header.more;
    if (header.more) continue;
    given_ = last_part;
    *message = {header.kind, last_part ? std::string_view(parts_) : payload};
    return FrameResult::kMessage;
  }
  return FrameResult::kError;
}

}  // namespace redynamo
