// SPDX-License-Identifier: Apache-2.0
// One I/O thread: a libuv loop that carries the socket halves of some clients, and its mailboxes.
//
// An I/O thread knows no command, no session and no setting but IoLimits. It never waits for the
// data thread, nor the data thread for it, but for the moment that a mailbox is swapped.
#pragma once

#include <uv.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/io_mail.h"
#include "server/session_pipeline.h"

namespace redynamo {

// What the settings allow; the data thread writes, I/O threads read.
struct IoLimits {
  std::atomic<int64_t> bulk_bytes{0};
  std::atomic<uint64_t> query_buffer_bytes{0};
};

class UvIoThread {
 public:
  // `wake_data_thread` is called from the I/O thread.
  UvIoThread(const IoLimits& limits, std::function<void()> wake_data_thread);
  ~UvIoThread();
  UvIoThread(const UvIoThread&) = delete;
  UvIoThread& operator=(const UvIoThread&) = delete;

  // --- data thread ---
  // The mail that gathers until Send.
  SocketMail& outgoing() { return outgoing_; }
  void Send();
  // Swaps all that the sockets have told into *events, which must be empty, and adds to *figures.
  void Receive(std::vector<FromSocket>* events, IoFigures* figures);
  // Obeys what was sent, writes what the sockets take at once, closes them all and ends the thread.
  // Receive then gives the last events.
  void Stop();
  size_t sockets = 0;  // how many it has been given and has not closed

  // --- the I/O thread, for its sockets ---
  uv_loop_t* uv() { return &loop_; }
  const IoLimits& limits() const { return limits_; }
  RequestBatchPool& batches() { return batches_; }
  uint64_t turn() const { return turn_; }
  void Tell(const FromSocket& event, bool wake) {
    told_.push_back(event);
    wake_ |= wake;
  }
  void CountRead(uint64_t bytes, uint64_t pending);
  void CountWrite(uint64_t bytes);

 private:
  void Run();
  void OnMail();
  void EndTurn();
  void CloseAll();

  const IoLimits& limits_;
  const std::function<void()> wake_data_thread_;
  std::thread thread_;
  uv_loop_t loop_;
  uv_async_t async_;
  uv_prepare_t prepare_;
  uv_check_t check_;

  // --- the data thread's ---
  SocketMail outgoing_;

  // --- the I/O thread's ---
  uint64_t turn_ = 1;
  bool wake_ = false;
  std::vector<FromSocket> told_;
  IoFigures figures_;
  std::vector<SocketMail> mails_;
  RequestBatchPool batches_;

  // --- the mailboxes ---
  std::mutex mutex_;
  std::vector<SocketMail> to_sockets_;  // oldest first
  std::vector<SocketMail> spare_;       // empty, with memory to use again
  std::vector<FromSocket> from_sockets_;
  IoFigures new_figures_;
  bool stop_ = false;
};

}  // namespace redynamo
