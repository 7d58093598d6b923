// SPDX-License-Identifier: Apache-2.0
// What the data thread and an I/O thread tell each other (`io-threads` above 1).
//
//   socket half, I/O thread (UvIoSocket)              session half, data thread (IoClient)
//
//   reads, parses into its parcel ──── kRequests ───▸ executes the parcel
//   releases its input, parses on  ◂── parcel_done ── … all of it
//   writes                         ◂── bytes ──────── replies whose log position is safe
//                                  ──── kWritten ───▸ output limits
//
// Mail gathers during a turn of either loop and crosses over at its end in one go, under one lock,
// with at most one wake-up. A parcel (up to kParcelBatches batches of requests) belongs to the
// socket half, then, from kRequests to parcel_done, to the session half; the parser keeps its bytes
// in place as long. A connection has one parcel at a time. The session half decides about the end:
// after `close` it sends nothing more to that socket, and after kClosed nothing more comes from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace redynamo {

class IoClient;
class UvIoSocket;

enum class SocketEvent : uint8_t {
  kRequests,       // the parcel is full; `bytes`: read for it
  kWritten,        // `bytes` of what was lent have left
  kEndOfInput,     // the client has shut down its side; requests before it may still come
  kDrained,        // ... and none is left
  kProtocolError,  // all requests before it are done; text: UvIoSocket::error()
  kInputLimit,     // client-query-buffer-limit
  kLost,           // the connection is broken
  kClosed,         // the last of all
};

struct FromSocket {
  IoClient* client;
  SocketEvent event;
  uint64_t bytes = 0;
};

struct ToSocket {
  UvIoSocket* socket = nullptr;
  int open_fd = -1;  // begin: this socket, which it owns
  bool parcel_done = false;
  bool authenticated = false;  // with open_fd and parcel_done
  bool eager = false;          // the session half waits for kWritten: wake it
  bool write = false;          // these were the last bytes of the turn
  bool close = false;          // at once
  // Bytes to write: a piece of the mail's `bytes`, or a string of their own.
  size_t small_at = 0, small_size = 0;
  std::string big;
};

// What an I/O thread has done since it last said so.
struct IoFigures {
  uint64_t reads = 0, read_bytes = 0;
  uint64_t writes = 0, written_bytes = 0;
  uint64_t max_input_bytes = 0;
};

// All that crosses to an I/O thread in one go.
struct SocketMail {
  std::vector<ToSocket> orders;
  std::string bytes;  // small pieces of several sockets
};

}  // namespace redynamo
