// SPDX-License-Identifier: Apache-2.0
#include "server/commands/command_support.h"

#include <cstring>
#include <limits>

#include "server/server.h"

namespace redynamo {

Reply ArityError(const CommandContext& ctx) {
  std::string text = "ERR wrong number of arguments for '";
  text.append(ctx.row->name).append("' command");
  return Reply::ErrorText(std::move(text));
}

Reply ExpireTimeError(const CommandContext& ctx) {
  std::string text = "ERR invalid expire time in '";
  text.append(ctx.row->name).append("' command");
  return Reply::ErrorText(std::move(text));
}

Reply ViewError(const Status& status) {
  const std::string& message = status.message();
  return Reply::ErrorText(message.starts_with("ERR ") ? message : "ERR " + message);
}

int ReadDatabase(const CommandContext& ctx, ArgReader& args) {
  int64_t database = args.Int64();
  if (database < std::numeric_limits<int>::min() || database > std::numeric_limits<int>::max()) {
    args.Fail("ERR value is out of range, value must between -2147483648 and 2147483647");
  } else if (database < 0 || database >= ctx.server.config().databases) {
    args.Fail("ERR DB index is out of range");
  }
  return args.ok() ? int(database) : 0;
}

std::string_view ObjectTypeName(ObjectType type) {
  switch (type) {
    case ObjectType::kNone: return "none";
    case ObjectType::kString: return "string";
    case ObjectType::kList: return "list";
    case ObjectType::kSet: return "set";
    case ObjectType::kSortedSet: return "zset";
    case ObjectType::kHash: return "hash";
    case ObjectType::kStream: return "stream";
  }
  return "none";
}

uint64_t StringBytesMax(const CommandContext& ctx) {
  return ctx.server.config().proto_max_bulk_len_bytes;
}

void ReplyScratch::Restart() {
  if (chunks_.size() > 1 || chunk_bytes_ > kChunkBytes) {
    chunks_.clear();
    chunk_bytes_ = 0;
  }
  used_ = 0;
}

std::string_view ReplyScratch::Keep(std::string_view bytes) {
  if (bytes.size() > chunk_bytes_ - used_) {
    chunk_bytes_ = bytes.size() > kChunkBytes ? bytes.size() : kChunkBytes;
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(chunk_bytes_));
    used_ = 0;
  }
  if (bytes.empty()) return {};
  char* to = chunks_.back().get() + used_;
  std::memcpy(to, bytes.data(), bytes.size());
  used_ += bytes.size();
  return {to, bytes.size()};
}

ReplyScratch& Scratch() {
  thread_local ReplyScratch scratch;
  return scratch;
}

}  // namespace redynamo
