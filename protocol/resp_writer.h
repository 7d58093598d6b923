// SPDX-License-Identifier: Apache-2.0
// Renders replies as RESP2 or RESP3, byte for byte as Redis 7.2 does. Everything is appended to
// `out`; nothing is kept. Callable from any thread.
//
// WriteReply renders a whole Reply. The Append functions are for answers that are written piece
// by piece (a long range, EXEC, pub/sub messages): a header with its count, then that many pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/reply.h"

namespace redynamo {

enum class RespVersion : uint8_t { kResp2 = 2, kResp3 = 3 };

// Kind::kNone writes nothing. REQUIRES: no kNone inside an aggregate; maps have even items.
void WriteReply(const Reply& reply, RespVersion version, std::string* out);

void AppendInteger(int64_t value, std::string* out);
void AppendBulk(std::string_view bytes, std::string* out);
void AppendNil(RespVersion version, std::string* out);
void AppendNilArray(RespVersion version, std::string* out);
void AppendDouble(double value, RespVersion version, std::string* out);
void AppendBoolean(bool value, RespVersion version, std::string* out);
void AppendVerbatim(std::string_view text, RespVersion version, std::string* out);

// `text` with line breaks at its ends removed and those inside as spaces. An error's text begins
// with its code ("ERR ...").
void AppendStatus(std::string_view text, std::string* out);
void AppendError(std::string_view text, std::string* out);

void AppendArrayHeader(size_t items, std::string* out);
void AppendSetHeader(size_t items, RespVersion version, std::string* out);
void AppendMapHeader(size_t pairs, RespVersion version, std::string* out);
void AppendPushHeader(size_t items, RespVersion version, std::string* out);

}  // namespace redynamo
