// SPDX-License-Identifier: Apache-2.0
// A protocol-neutral answer. Handlers return one; resp_writer renders it as RESP2 or RESP3.
//
//   return Reply::Ok();                              +OK
//   return Reply::View(value);                       bulk string, bytes not copied (see below)
//   Reply list = Reply::Array();  list.Add(Reply::Integer(1));  return list;
//   return Reply::Error("ERR value is not an integer or out of range");
//
// View keeps only a string_view: its bytes must stay unchanged until the dispatcher has rendered
// the reply, which it does directly after the handler returns.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace redynamo {

class Reply {
 public:
  enum class Kind : uint8_t {
    kNone,      // nothing is sent (the command answers by itself, or CLIENT REPLY OFF)
    kNil,       // RESP2 $-1, RESP3 _
    kNilArray,  // RESP2 *-1, RESP3 _
    kStatus,    // +text
    kError,     // -text; begins with its code, e.g. "ERR ..."
    kInteger,
    kDouble,     // RESP2: bulk string of the shortest form that reads back; RESP3: ,
    kBoolean,    // RESP2: integer 1/0; RESP3: #t/#f
    kBulk,       // binary-safe string
    kVerbatim,   // RESP2: bulk; RESP3: =txt:
    kBigNumber,  // RESP2: bulk; RESP3: (
    kArray,
    kSet,   // RESP2: array; RESP3: ~
    kMap,   // items are key, value, key, value; RESP2: flat array; RESP3: %
    kPush,  // RESP2: array; RESP3: >
  };

  Reply() = default;
  static Reply None() { return Reply(); }
  static Reply Nil() { return Reply(Kind::kNil); }
  static Reply NilArray() { return Reply(Kind::kNilArray); }
  static Reply Ok() { return StaticStatus("OK"); }
  // `text` must have static storage.
  static Reply StaticStatus(std::string_view text) { return Reply(Kind::kStatus, text); }
  static Reply StatusText(std::string text) { return Owned(Kind::kStatus, std::move(text)); }
  // `text` must have static storage; use ErrorText for a built message.
  static Reply Error(std::string_view text) { return Reply(Kind::kError, text); }
  static Reply ErrorText(std::string text) { return Owned(Kind::kError, std::move(text)); }
  static Reply Integer(int64_t v) {
    Reply r(Kind::kInteger);
    r.integer_ = v;
    return r;
  }
  static Reply Double(double v) {
    Reply r(Kind::kDouble);
    r.double_ = v;
    return r;
  }
  static Reply Boolean(bool v) {
    Reply r(Kind::kBoolean);
    r.integer_ = v;
    return r;
  }
  static Reply View(std::string_view bytes) { return Reply(Kind::kBulk, bytes); }
  static Reply Bulk(std::string bytes) { return Owned(Kind::kBulk, std::move(bytes)); }
  static Reply Verbatim(std::string text) { return Owned(Kind::kVerbatim, std::move(text)); }
  static Reply Array() { return Reply(Kind::kArray); }
  static Reply Set() { return Reply(Kind::kSet); }
  static Reply Map() { return Reply(Kind::kMap); }
  static Reply Push() { return Reply(Kind::kPush); }

  Kind kind() const { return kind_; }
  bool IsError() const { return kind_ == Kind::kError; }
  std::string_view text() const { return text_; }
  int64_t integer() const { return integer_; }
  double number() const { return double_; }

  // Items of kArray, kSet, kMap and kPush.
  Reply& Add(Reply item) {
    if (!body_) body_ = std::make_unique<Body>();
    body_->items.push_back(std::move(item));
    return *this;
  }
  Reply& AddView(std::string_view bytes) { return Add(View(bytes)); }
  Reply& AddBulk(std::string bytes) { return Add(Bulk(std::move(bytes))); }
  Reply& AddInteger(int64_t v) { return Add(Integer(v)); }
  void Reserve(size_t n) {
    if (!body_) body_ = std::make_unique<Body>();
    body_->items.reserve(n);
  }
  const std::vector<Reply>& items() const {
    static const std::vector<Reply> kEmpty;
    return body_ ? body_->items : kEmpty;
  }
  std::vector<Reply>& mutable_items() {
    if (!body_) body_ = std::make_unique<Body>();
    return body_->items;
  }

 private:
  struct Body {
    std::string text;
    std::vector<Reply> items;
  };
  explicit Reply(Kind kind, std::string_view text = {}) : kind_(kind), text_(text) {}
  static Reply Owned(Kind kind, std::string text) {
    Reply r(kind);
    r.body_ = std::make_unique<Body>();
    r.body_->text = std::move(text);
    r.text_ = r.body_->text;  // the Body does not move when the Reply does
    return r;
  }

  Kind kind_ = Kind::kNone;
  union {
    int64_t integer_ = 0;
    double double_;
  };
  std::string_view text_;
  std::unique_ptr<Body> body_;
};

}  // namespace redynamo
