// SPDX-License-Identifier: Apache-2.0
// Arbitrary segment files never crash recovery, with and without salvage, and a log that recovery
// accepted can be written to and accepted again. The input is cut into segments; checksums are made
// right where the input asks for it, so that the code behind them is reached.
#include <cstdlib>

#include "base/bytes.h"
#include "storage/log.h"
#include "tests/support/faulty_file_system.h"

using namespace redynamo;

namespace {

constexpr uint64_t kId = 1;

// One segment out of instructions: raw bytes, valid frames, or frames with fields from the input.
std::string MakeSegment(ByteReader* in, LogPosition first, uint64_t* number) {
  SegmentHeader header{in->Byte() == 7 ? 3 : kLogFormatVersion, kId, first};
  std::string out = EncodeSegmentHeader(header);
  const uint64_t salt = SegmentSalt(kId, first);
  for (int steps = in->Byte() % 16; steps > 0 && !in->empty(); steps--) {
    LogPosition position = first + out.size();
    uint8_t op = in->Byte();
    if (op % 4 == 0) {
      out += in->Bytes(std::min<size_t>(op, in->rest().size()));
    } else if (op % 4 == 1) {
      uint64_t first_number = op & 64 ? in->Fixed64() : *number;
      uint64_t synced = op & 128 ? in->Fixed64() : in->Fixed16();
      out.resize(out.size() + kBatchFrameBytes);
      EncodeBatchFrame({first_number, synced}, salt, position, &out[out.size() - kBatchFrameBytes]);
      if (op & 32) *number = first_number;
    } else if (op % 4 == 2) {
      uint64_t size = std::min<uint64_t>(in->Byte(), in->rest().size());
      out.append(kRecordFrameBytes, '\0');
      out += in->Bytes(size);
      SealRecordFrame(&out[out.size() - size - kRecordFrameBytes], size, salt, position, *number);
      ++*number;
    } else if (out.size() > 0) {
      out[in->Fixed16() % out.size()] ^= char(op);
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ByteReader in({reinterpret_cast<const char*>(data), size});
  FaultyFileSystem fs;
  LogOptions options;
  options.directory = "data";
  options.directory_id = kId;
  options.segment_bytes = 4096;
  options.background_threads = false;
  options.salvage = in.Byte() & 1;
  options.start_position = in.Byte() * 16;
  LogPosition first = 0;
  uint64_t number = 1;
  for (int segments = in.Byte() % 5; segments > 0; segments--) {
    std::string bytes = in.empty() ? "" : MakeSegment(&in, first, &number);
    LogPosition next = first + bytes.size() + in.Byte();
    fs.SetContents("data/" + SegmentName(first), std::move(bytes));
    if (next == first) next++;
    first = next;
  }
  uint64_t replayed = 0;
  auto callback = [&](LogPosition, std::string_view) {
    replayed++;
    return Status::Ok();
  };
  auto log = Log::Open(&fs, options, callback);
  if (!log.ok()) return 0;
  if (!(*log)->Reserve(3).ok()) std::abort();
  (*log)->BeginRecord()->append("new");
  LogPosition end = (*log)->EndRecord();
  if (!(*log)->WriteBatch().ok()) std::abort();
  log = Status(StatusCode::kShutdown, "");
  LogPosition last = 0;
  auto again = Log::Open(&fs, options, [&](LogPosition position, std::string_view) {
    last = position;
    return Status::Ok();
  });
  if (!again.ok() || last != end) std::abort();
  return 0;
}
