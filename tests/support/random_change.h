// SPDX-License-Identifier: Apache-2.0
// Random changes of a few keys, so that writers meet.
#pragma once

#include <string>

#include "base/random.h"
#include "storage/keyspace.h"
#include "storage/siblings.h"
#include "tests/support/join_nodes.h"

namespace redynamo {

inline std::string KeyName(uint64_t n) { return "{t}" + std::to_string(n); }

// One random change of one key, as a command would make it.
inline void Change(Random& random, Keyspace keys, uint64_t value) {
  std::string key = KeyName(random.Below(4));
  std::string element = std::to_string(random.Below(5));
  std::string text = random.Below(2) ? std::to_string(value) : "v" + std::to_string(value);
  int64_t later = kJoinNowMs + 1'000'000 + int64_t(random.Below(1000)) * 1000;
  KeyView any = keys.Find(key);
  StringView string = keys.String(key);
  std::string piece(1 + random.Below(random.Below(2) ? 5 : 6000), char('a' + value % 26));
  switch (random.Below(22)) {
    case 0:
    case 1: return keys.String(key).Set(text);
    case 2: return keys.String(key).Set(text, DeadlineChange::At(later));
    case 3:
      if (any.type() == ObjectType::kString) keys.String(key).Set(text, DeadlineChange::Keep());
      return;
    case 4:
    case 5:
    case 6:
      if (StringView s = keys.String(key); !s.wrong_type()) (void)s.Add(int64_t(value % 7) - 2);
      return;
    case 7:
      if (any.exists()) any.SetDeadline(later);
      return;
    case 8: any.Persist(); return;
    case 9: any.Remove(); return;
    case 10:
      if (HashView h = keys.Hash(key); !h.wrong_type()) h.Set(element, text);
      return;
    case 11:
      if (HashView h = keys.Hash(key); !h.wrong_type()) (void)h.Add(element, int64_t(value % 5));
      return;
    case 12:
      if (HashView h = keys.Hash(key); !h.wrong_type()) h.Remove(element);
      return;
    case 13:
      if (SetView s = keys.Set(key); !s.wrong_type()) s.Add(element);
      return;
    case 14:
      if (SetView s = keys.Set(key); !s.wrong_type()) s.Remove(element);
      return;
    case 15:
      if (random.Below(8) == 0) keys.Clear();
      return;
    case 16:  // long strings change by fragments: few of them, so that writers meet
    case 17:
      if (!string.wrong_type()) string.Overwrite(random.Below(15'000), piece);
      return;
    case 18:
      if (!string.wrong_type() && string.value().size() < 15'000) string.Append(piece);
      return;
    case 19: return string.Set(std::string(random.Below(10'000), 'L'));
    case 20:
    case 21:  // by one who has read the key, or has not
      if (string.wrong_type()) return;
      (void)string.PutSibling(random.Below(2) ? string.siblings().context : "", text);
      return;
  }
}

}  // namespace redynamo
