// SPDX-License-Identifier: Apache-2.0
#include "storage/long_string.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/check.h"

namespace redynamo {
namespace {

constexpr size_t kDoubleUpTo = 1 << 20;  // beyond, room to spare is a quarter
constexpr size_t kLookMax = 8192;        // fragments that one step of a capture passes over

size_t StartOf(uint32_t index) { return size_t(index) * kFragmentBytes; }

}  // namespace

LongString::LongString(std::string_view base) : base_size_(base.size()) {
  size_ = capacity_ = base.size();
  bytes_ = static_cast<char*>(std::malloc(std::max<size_t>(capacity_, 1)));
  CHECK_THAT(bytes_ != nullptr);
  if (!base.empty()) std::memcpy(bytes_, base.data(), base.size());
}

LongString::~LongString() { std::free(bytes_); }

size_t LongString::BaseUnder(uint32_t index) const {
  if (base_size_ <= StartOf(index)) return 0;
  return std::min<size_t>(base_size_ - StartOf(index), kFragmentBytes);
}

std::string LongString::Base() const {
  std::string base(bytes_, base_size_);  // size_ is never less
  for (const auto& [index, fragment] : fragments_) {
    size_t under = BaseUnder(index);
    if (under == 0) break;
    if (fragment.base) std::memcpy(base.data() + StartOf(index), fragment.base.get(), under);
  }
  return base;
}

const LongString::Fragment* LongString::Find(uint32_t index) const {
  auto it = fragments_.find(index);
  return it == fragments_.end() || !it->second.live() ? nullptr : &it->second;
}

size_t LongString::memory_bytes() const {
  constexpr size_t kNodeBytes = sizeof(Fragments::value_type) * 4 / 3;  // nodes are mostly full
  return sizeof *this + malloc_usable_size(bytes_) + kept_bytes_ + fragments_.size() * kNodeBytes;
}

// Keeps what the base has there before anything else is written over it.
LongString::Fragment& LongString::Touch(uint32_t index) {
  auto [it, is_new] = fragments_.try_emplace(index);
  size_t under = BaseUnder(index);
  if (!it->second.live() && under > 0) {
    it->second.base = std::make_unique_for_overwrite<char[]>(under);
    std::memcpy(it->second.base.get(), bytes_ + StartOf(index), under);
    kept_bytes_ += under;
  }
  return it->second;
}

void LongString::MarkDirty(uint32_t index, Fragment* fragment) {
  if (fragment->dirty) return;
  dirty_++;
  fragment->dirty = true;
  sum_.Remove(index, fragment->sum);
  fragment->sum = 0;
}

void LongString::Grow(size_t size) {
  if (size <= size_) return;
  if (size > capacity_) {
    size_t spare = size < kDoubleUpTo ? size : size / 4;
    void* grown = std::realloc(bytes_, size + spare);
    CHECK_THAT(grown != nullptr);
    bytes_ = static_cast<char*>(grown);
    capacity_ = size + spare;
  }
  std::memset(bytes_ + size_, 0, size - size_);
  size_ = size;
}

void LongString::Overwrite(uint64_t offset, std::string_view bytes, Dot dot, uint64_t hlc,
                           std::vector<Touched>* touched) {
  uint32_t first = uint32_t(offset / kFragmentBytes);
  uint32_t last = uint32_t((offset + bytes.size() - 1) / kFragmentBytes);
  Grow(offset + bytes.size());
  for (uint32_t index = first; index <= last; index++) {
    Fragment& fragment = Touch(index);
    touched->push_back({index, fragment.dot});
    fragment.dot = dot;
    fragment.hlc = hlc;
    fragment.length = uint32_t(std::min<size_t>(size_ - StartOf(index), kFragmentBytes));
    MarkDirty(index, &fragment);
  }
  std::memcpy(bytes_ + offset, bytes.data(), bytes.size());
}

void LongString::Put(uint32_t index, std::string_view bytes, Dot dot, uint64_t hlc) {
  Fragment& fragment = Touch(index);
  bool shorter = fragment.live() && bytes.size() < fragment.length;
  if (shorter) ShowBase(index, fragment, bytes.size());
  Grow(StartOf(index) + bytes.size());
  std::memcpy(bytes_ + StartOf(index), bytes.data(), bytes.size());
  fragment.dot = dot;
  fragment.hlc = hlc;
  fragment.length = uint32_t(bytes.size());
  MarkDirty(index, &fragment);
  if (shorter) FitSize();
}

void LongString::Remove(uint32_t index) {
  auto it = fragments_.find(index);
  if (it == fragments_.end() || !it->second.live()) return;
  Fragment& fragment = it->second;
  ShowBase(index, fragment, 0);
  if (fragment.base) kept_bytes_ -= BaseUnder(index);
  fragment.base.reset();
  fragment.dot = 0;
  fragment.hlc = 0;
  fragment.length = 0;
  MarkDirty(index, &fragment);
  if (!fragment.on_disk) {
    dirty_--;
    fragments_.erase(it);
  }
  FitSize();
}

// From byte `from` of the fragment to its end.
void LongString::ShowBase(uint32_t index, const Fragment& fragment, size_t from) {
  char* at = bytes_ + StartOf(index);
  size_t under = std::min<size_t>(BaseUnder(index), fragment.length);
  if (from < under) std::memcpy(at + from, fragment.base.get() + from, under - from);
  size_t zeros = std::max(from, under);
  if (zeros < fragment.length) std::memset(at + zeros, 0, fragment.length - zeros);
}

void LongString::FitSize() {
  size_t size = base_size_;
  for (auto it = fragments_.rbegin(); it != fragments_.rend(); ++it) {
    if (!it->second.live()) continue;
    size = std::max(size, StartOf(it->first) + it->second.length);
    break;
  }
  size_ = std::min(size_, size);
}

void LongString::Install(uint32_t index, std::string_view bytes, Dot dot, uint64_t hlc,
                         uint64_t sum) {
  Put(index, bytes, dot, hlc);
  Fragment& fragment = fragments_[index];
  fragment.sum = sum;
  sum_.AddLoaded(sum);
  fragment.dirty = false;
  fragment.on_disk = true;
  dirty_--;
}

uint32_t LongString::CollectDirty(uint32_t from, size_t count, std::vector<uint32_t>* out) const {
  if (dirty_ == 0) return 0;
  size_t looked = 0;
  for (auto it = fragments_.lower_bound(from); it != fragments_.end(); ++it) {
    if (out->size() >= count || looked++ == kLookMax) return it->first;
    if (it->second.dirty) out->push_back(it->first);
  }
  return 0;
}

void LongString::MarkCaptured(uint32_t index, uint8_t number, uint64_t sum) {
  auto it = fragments_.find(index);
  CHECK_THAT(it != fragments_.end() && it->second.dirty);
  dirty_--;
  it->second.dirty = false;
  it->second.capture = number;
  it->second.sum = sum;
  sum_.Add(sum);
  it->second.on_disk |= it->second.live();
}

bool LongString::Redirty(uint8_t number) {
  bool any = head_capture == number;
  head_dirty |= any;
  for (auto& [index, fragment] : fragments_) {
    if (fragment.capture != number || fragment.dirty) continue;
    MarkDirty(index, &fragment);
    any = true;
  }
  return any;
}

}  // namespace redynamo
