// SPDX-License-Identifier: Apache-2.0
#include "storage/row.h"

#include <malloc.h>

#include <algorithm>

#include "base/check.h"
#include "storage/long_string.h"

namespace redynamo {
namespace {

constexpr size_t kShortKeyMax = 255;

size_t AreaBefore(size_t key_len, bool has_deadline) {
  return (key_len > kShortKeyMax ? 4 : 0) + (has_deadline ? sizeof(Deadline) : 0) + key_len;
}

}  // namespace

Row* NewRow(std::string_view key, size_t value_len, bool has_deadline) {
  size_t before = AreaBefore(key.size(), has_deadline);
  Row* row = static_cast<Row*>(std::malloc(sizeof(Row) + before + value_len));
  CHECK_THAT(row != nullptr);
  std::memset(static_cast<void*>(row), 0, sizeof(Row));
  row->value_len = uint32_t(value_len);
  if (has_deadline) row->flags |= Row::kHasDeadline;
  if (key.size() > kShortKeyMax) {
    row->flags |= Row::kLongKey;
    uint32_t n = uint32_t(key.size());
    std::memcpy(row->bytes(), &n, 4);
  } else {
    row->key_len8 = uint8_t(key.size());
  }
  std::memcpy(row->bytes() + row->key_offset(), key.data(), key.size());
  return row;
}

std::string_view Row::LongText() const { return long_string()->bytes(); }

void FreeRow(Row* row) { std::free(row); }

size_t RowMemory(const Row* row) { return malloc_usable_size(const_cast<Row*>(row)); }

Row* ResizeRow(Row* row, size_t value_len, bool has_deadline) {
  bool had_deadline = row->Has(Row::kHasDeadline);
  if (had_deadline == has_deadline) {
    if (value_len == row->value_len) return row;
    size_t needed = sizeof(Row) + row->key_offset() + row->key_len() + value_len;
    size_t usable = malloc_usable_size(row);
    if (needed > usable || needed < usable - usable / 4) {
      row = static_cast<Row*>(std::realloc(row, needed));
      CHECK_THAT(row != nullptr);
    }
    row->value_len = uint32_t(value_len);
    return row;
  }
  Row* copy = NewRow(row->key(), value_len, has_deadline);
  uint16_t layout = Row::kHasDeadline | Row::kLongKey;
  uint16_t flags = uint16_t((row->flags & ~layout) | (copy->flags & layout));
  uint8_t key_len8 = copy->key_len8;
  std::memcpy(static_cast<void*>(copy), row, sizeof(Row));
  copy->flags = flags;
  copy->key_len8 = key_len8;
  copy->value_len = uint32_t(value_len);
  std::memcpy(copy->value_data(), row->value().data(), std::min<size_t>(row->value_len, value_len));
  FreeRow(row);
  return copy;
}

}  // namespace redynamo
