// SPDX-License-Identifier: Apache-2.0
// Messages between nodes as frames on a byte stream.
//
//   frame   := length:4 version:1 kind:1 flags:2 crc:4 payload     little-endian
//   length  : of the payload, at most kFramePayloadBytesMax
//   flags   : 0x0001 the message goes on in the next frame, which has the same kind
//   crc     : CRC32C of the eight bytes before it, then of the payload
//
// A message is the payloads of its frames, one after the other; no other frame comes between. So
// a sender cuts a message above kFramePartBytes into parts, and a receiver's buffer stays small
// however long a message is. A message of 5 bytes and kind 2:
//
//   05 00 00 00 | 01 02 00 00 | <crc> | "hello"
//
// Nothing here knows what a kind means: cluster/message.h does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "protocol/input_buffer.h"

namespace redynamo {

inline constexpr uint8_t kFrameVersion = 1;
inline constexpr size_t kFrameHeaderBytes = 12;
inline constexpr uint32_t kFramePayloadBytesMax = 64u << 20;
inline constexpr uint32_t kFramePartBytes = 4u << 20;
// Of a whole message: the longest record of the log (1 GiB), and what is put around it.
inline constexpr uint64_t kMessageBytesMax = (1ull << 30) + (64ull << 20);

// Appends a message to *out: as one frame, or in parts when it is above kFramePartBytes.
void AppendMessage(std::string* out, uint8_t kind, std::string_view payload);

// The same without a copy of the payload:
//
//   size_t begin = BeginMessage(out);
//   ... append the payload to *out ...
//   EndMessage(out, begin, kind);
size_t BeginMessage(std::string* out);
void EndMessage(std::string* out, size_t begin, uint8_t kind);

enum class FrameResult {
  kNeedMore,  // all whole messages have been given
  kMessage,
  kError,  // the stream is not ours or is damaged: see error(); it stays so
};

struct FramedMessage {
  uint8_t kind = 0;
  std::string_view payload;  // lives until the next call of the reader, whichever
};

// Takes a stream apart. Any bytes are safe; what is not a frame is an error, and nothing is
// allocated for more than twice what has come plus one frame. Not thread-safe.
class FrameReader {
 public:
  struct Limits {
    uint32_t frame_bytes = kFramePayloadBytesMax;  // payload of one frame
    uint64_t message_bytes = kMessageBytesMax;
  };
  FrameReader() = default;
  explicit FrameReader(Limits limits) : limits_(limits) {}
  // From the next frame on, for example when a stranger has said who it is.
  void SetLimits(Limits limits) { limits_ = limits; }

  // Where the next bytes of the stream go, as InputBuffer::PrepareRead; nullptr: memory is out.
  char* PrepareRead(size_t hint, size_t* capacity);
  void CommitRead(size_t n);
  // Both at once, for tests. False when memory is out.
  bool Feed(std::string_view bytes);

  FrameResult Next(FramedMessage* message);
  const Status& error() const { return error_; }
  // Bytes that have come and were not given yet, those of unfinished messages included.
  uint64_t pending_bytes() const { return buffer_.size() + parts_.size(); }

 private:
  struct Header {
    uint32_t length = 0;
    uint32_t crc = 0;
    uint8_t kind = 0;
    bool more = false;
  };
  bool ReadHeader(Header* header);
  FrameResult Fail(std::string message);
  void DropGiven();

  Limits limits_;
  InputBuffer buffer_;
  size_t frame_bytes_ = 0;  // of the frame at the front of it, as far as is known
  std::string parts_;       // of a message whose last frame has not come, or that was just given
  uint8_t parts_kind_ = 0;
  bool in_parts_ = false;  // the next frame goes on with parts_
  bool given_ = false;     // parts_ was the last message given
  Status error_;
};

}  // namespace redynamo
