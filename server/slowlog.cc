// SPDX-License-Identifier: Apache-2.0
#include "server/slowlog.h"

#include "base/number.h"

namespace redynamo {
namespace {

std::string Shortened(std::string_view arg) {
  if (arg.size() <= Slowlog::kArgBytesMax) return std::string(arg);
  return std::string(arg.substr(0, Slowlog::kArgBytesMax)) + "... (" +
         FormatInt64(int64_t(arg.size() - Slowlog::kArgBytesMax)) + " more bytes)";
}

}  // namespace

void Slowlog::Record(std::span<const std::string_view> args, int64_t microseconds,
                     int64_t unix_seconds, std::string_view client_address,
                     std::string_view client_name, int64_t max_len) {
  SlowlogEntry entry;
  entry.id = next_id_++;
  entry.unix_seconds = unix_seconds;
  entry.microseconds = microseconds;
  size_t shown = args.size() <= kArgsMax ? args.size() : kArgsMax - 1;
  for (std::string_view arg : args.first(shown)) entry.args.push_back(Shortened(arg));
  if (shown < args.size()) {
    entry.args.push_back("... (" + FormatInt64(int64_t(args.size() - shown)) + " more arguments)");
  }
  entry.client_address = client_address;
  entry.client_name = client_name;
  entries_.push_front(std::move(entry));
  Trim(max_len);
}

void Slowlog::Trim(int64_t max_len) {
  while (!entries_.empty() && int64_t(entries_.size()) > max_len) entries_.pop_back();
}

}  // namespace redynamo
