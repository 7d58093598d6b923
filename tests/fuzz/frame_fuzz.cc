// SPDX-License-Identifier: Apache-2.0
// Any bytes as a stream between nodes, in pieces of any size: an error or messages, and what they
// carry is refused or decodes to a message that is the same after it was encoded and decoded again.
// The first byte says how the stream is cut and whether checksums are put right, so that what is
// behind them is reached.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "base/hash.h"
#include "cluster/message.h"
#include "protocol/frame.h"

using namespace redynamo;

namespace {

constexpr FrameReader::Limits kLimits{.frame_bytes = 1 << 16, .message_bytes = 1 << 17};

void PutChecksumsRight(std::string* stream) {
  size_t at = 0;
  while (stream->size() - at >= kFrameHeaderBytes) {
    uint32_t length;
    std::memcpy(&length, stream->data() + at, 4);
    if (length > stream->size() - at - kFrameHeaderBytes) return;
    std::string_view frame = std::string_view(*stream).substr(at, kFrameHeaderBytes + length);
    uint32_t crc = Crc32c(frame.substr(kFrameHeaderBytes), Crc32c(frame.substr(0, 8)));
    std::memcpy(stream->data() + at + 8, &crc, 4);
    at += frame.size();
  }
}

void CheckMessage(const FramedMessage& framed) {
  CHECK_THAT(framed.payload.size() <= kLimits.message_bytes);
  Status status = VisitMessage(MessageKind(framed.kind), framed.payload, []<typename T>(T body) {
    std::string bytes;
    body.EncodeTo(&bytes);
    T again;
    CHECK_THAT(T::Decode(bytes, &again).ok() && again == body);
    return Status::Ok();
  });
  CHECK_THAT((status.code() == StatusCode::kUnsupported) == !IsKnownMessageKind(framed.kind));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  size_t piece_bytes = 1 + (data[0] >> 1);
  std::string stream(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) PutChecksumsRight(&stream);
  FrameReader reader(kLimits);
  std::string_view rest = stream;
  while (!rest.empty()) {
    std::string_view piece = rest.substr(0, piece_bytes);
    rest.remove_prefix(piece.size());
    CHECK_THAT(reader.Feed(piece));
    FramedMessage message;
    FrameResult result;
    while ((result = reader.Next(&message)) == FrameResult::kMessage) CheckMessage(message);
    if (result == FrameResult::kError) {
      CHECK_THAT(!reader.error().ok());
      return 0;
    }
    CHECK_THAT(reader.pending_bytes() <= kLimits.message_bytes + kFrameHeaderBytes + piece_bytes);
  }
  return 0;
}
