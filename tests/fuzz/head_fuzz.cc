// SPDX-License-Identifier: Apache-2.0
// Any bytes as a head, element or fragment payload: refused, or an object that can be walked and
// that encodes to bytes which decode to the same again.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "storage/collection.h"
#include "storage/delta.h"
#include "storage/object_format.h"

using namespace redynamo;

namespace {

size_t Walk(const Row* row) {
  if (row->row_form() == RowForm::kCounter) return size_t(CounterCell(row->value()).value() & 1);
  if (row->row_form() != RowForm::kCollection) return row->value().size();
  size_t bytes = 0;
  row->collection()->ForEach([&](const Collection::Element& e) {
    bytes += e.key.size() + e.value.size();
    if (e.counter) CounterCell(e.value).value();
    return true;
  });
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view payload(reinterpret_cast<const char*>(data), size);
  if (Result<DecodedHead> head = DecodeHead("key", payload, 1); head.ok()) {
    size_t walked = Walk(head->row);
    std::string again = EncodeHead(head->row);
    Result<DecodedHead> second = DecodeHead("key", again, 1);
    CHECK_THAT(second.ok() && Walk(second->row) == walked && EncodeHead(second->row) == again);
    FreeWholeRow(second->row);
    FreeWholeRow(head->row);
  }
  if (Result<Row*> element = DecodeElement("element", payload); element.ok()) {
    CHECK_THAT(EncodeElement(*element) == payload);
    FreeRow(*element);
  }
  if (Result<StoredFragment> fragment = DecodeFragment(size, payload); fragment.ok()) {
    CHECK_THAT(EncodeFragment(*fragment) == payload && fragment->bytes.size() <= kFragmentBytes);
  }
  return 0;
}
