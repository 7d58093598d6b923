// SPDX-License-Identifier: Apache-2.0
// Status and Result<T>: what the world does to us (a full disk, a malformed file, a wrong option).
// Our own bugs are CHECK_THATs. Exceptions never cross our functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace redynamo {

enum class StatusCode {
  kOk,
  kInvalidArgument,  // a caller's or operator's input is wrong; the message names it and the range
  kNotFound,
  kCorruption,   // bytes on disk or wire fail their checksum or grammar
  kIoError,      // the operating system said no; the message carries errno's text
  kNoSpace,      // ENOSPC or our reserve; writes may resume by themselves
  kBusy,         // in use by another process
  kUnsupported,  // a newer format, or something this build does not do
  kShutdown,
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}
  static Status Ok() { return {}; }

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

inline Status InvalidArgument(std::string message) {
  return {StatusCode::kInvalidArgument, std::move(message)};
}
inline Status Corruption(std::string message) {
  return {StatusCode::kCorruption, std::move(message)};
}
// `what` says what was attempted on which file; errno's text is appended. ENOSPC and EDQUOT become
// kNoSpace.
Status IoError(std::string_view what, int error_number);

// A value or the Status that explains its absence. REQUIRES: value() only when ok().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT: implicit on purpose
  Result(Status status) : status_(std::move(status)) {  // NOLINT: implicit on purpose
    CHECK_THAT(!status_.ok());
  }
  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() {
    CHECK_THAT(ok());
    return *value_;
  }
  const T& value() const {
    CHECK_THAT(ok());
    return *value_;
  }
  T& operator*() { return value(); }
  T* operator->() { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace redynamo
