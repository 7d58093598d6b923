// SPDX-License-Identifier: Apache-2.0
// The session half of a client's connection, in the data thread, while an I/O thread has the
// socket: executes parcels of requests, hands released replies over. io_mail.h says how it talks to
// the socket half, UvIoSocket.
//
// Life: made with its session → … → BeginClose (the session dies) → kClosed → deleted by IoClients.
#pragma once

#include <cstdint>
#include <memory>

#include "server/io_mail.h"
#include "server/session.h"
#include "server/transport.h"

namespace redynamo {

class UvIoThread;
class UvIoThreads;

class IoClient : public Transport {
 public:
  IoClient(UvIoThreads& threads, UvIoSocket* socket, SessionIdentity who);
  ~IoClient() override;

  // Transport
  void Wake() override;
  void Resume() override;
  size_t InputBytes() const override;
  size_t InputFreeBytes() const override;

  // Anything but kClosed.
  void Hear(const FromSocket& told);
  // Executes what is left of the parcel, up to a bound that is fair to others.
  void RunPipeline();
  // Hands replies up to `position` over. True when nothing waits for a later position: it then need
  // not be called again before the next Wake.
  bool Flush(uint64_t position);
  void BeginClose();

  UvIoThread& thread() { return thread_; }

  bool flush_listed = false;  // UvIoThreads': in its list of clients to flush
  bool run_listed = false;    // in its list of clients that go on executing

 private:
  void HearWritten(uint64_t bytes);
  void HearEndOfInput();
  void HandOver();
  ToSocket& NewOrder();

  UvIoThreads& threads_;
  UvIoThread& thread_;
  UvIoSocket& socket_;                // lives until kClosed
  std::unique_ptr<Session> session_;  // until BeginClose
  bool parcel_here_ = false;
  bool parcel_done_ = false;  // to be told
  bool output_full_ = false;  // not executed until replies have left
  bool told_eager_ = false;
  bool closing_ = false;
};

}  // namespace redynamo
