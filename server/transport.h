// SPDX-License-Identifier: Apache-2.0
// What a session asks of the socket that carries it. uv_connection implements it; unit tests have
// a fake. With I/O threads the implementation posts these to the socket's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace redynamo {

// Where a session's bytes come from and go to.
class Transport {
 public:
  virtual ~Transport() = default;

  // The session's output has grown or its state has changed: the socket is looked at at the end of
  // this turn of the loop. Cheap, and harmless when called again.
  virtual void Wake() = 0;
  // The session was parked (loading keys, paused, deferred) and may run its pipeline again.
  virtual void Resume() = 0;
  // Bytes read and not yet parsed, and the free room behind them: CLIENT LIST's qbuf, qbuf-free.
  virtual size_t InputBytes() const = 0;
  virtual size_t InputFreeBytes() const = 0;
};

}  // namespace redynamo
