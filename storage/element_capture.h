// SPDX-License-Identifier: Apache-2.0
// A large collection's elements are captured in slices, in hash order, while writes go on; what is
// captured is nevertheless the state of one moment, that of its slot's capture. An element that
// changes before its slice has come leaves here what it was, if the disk does not have that yet;
// its new state is left for the next checkpoint:
//
//   moment P   a: "1" dirty     b: "2" on disk, clean     count 2
//   HSET h a 3, HSET h c 4, HDEL h b                      before = {a: "1"}
//   slice      writes a: "1"; passes by a, b and c, which stay dirty
//
// So head, count and rows on disk always agree, and replay from P finds what its effects remove.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace redynamo {

struct ElementCapture {
  struct Image {
    bool live;            // else: it was removed, and may stand on disk
    std::string payload;  // EncodeElement
  };
  uint64_t from = 0;  // left-aligned hash: elements below are captured
  std::map<std::pair<uint64_t, std::string>, Image> before;  // by hash and element
};

}  // namespace redynamo
