// SPDX-License-Identifier: Apache-2.0
// The socket half of a client's connection, in an I/O thread: reads, parses ahead, writes.
// io_mail.h says how it talks to its session half, IoClient.
//
// Made by the data thread, opened in the I/O thread, deletes itself when libuv has closed it. All
// for the I/O thread, except where noted.
#pragma once

#include <uv.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/resp_parser.h"
#include "server/io_mail.h"
#include "server/session_pipeline.h"

namespace redynamo {

class UvIoThread;

class UvIoSocket {
 public:
  UvIoSocket(UvIoThread& thread, bool unix_socket) : thread_(thread), unix_socket_(unix_socket) {}

  // --- data thread ---
  IoClient* client = nullptr;  // set before the socket is opened, and kept
  UvIoThread& thread() { return thread_; }
  // While the parcel is here: the first batch with requests left, or null.
  RequestBatch* NextBatch();
  // After kProtocolError.
  std::string_view error() const { return parser_.error(); }

  // --- any thread ---
  // As the last read or execution left them.
  size_t input_bytes() const { return input_bytes_.load(std::memory_order_relaxed); }
  size_t input_free_bytes() const { return input_free_bytes_.load(std::memory_order_relaxed); }

  // --- the I/O thread ---
  // Does what the order says. `small` is the mail's bytes, valid during this call and those for the
  // rest of the mail.
  void Obey(ToSocket& order, const std::string& small);
  void Close();

 private:
  struct Piece {
    std::string owned;
    std::string_view bytes;  // of `owned`, or of the mail
  };
  static void OnAlloc(uv_handle_t* handle, size_t hint, uv_buf_t* buffer);
  static void OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);
  static void OnWritten(uv_write_t* request, int status);

  void Open(int fd);
  void HandleRead(ssize_t size);
  void ParseOn();
  bool FillParcel();
  void FinishParcel();
  void StartReading();
  void StopReading();
  void ShowFigures();
  void Write();
  bool WriteNow();
  void Written(uint64_t bytes, bool wake);
  void Lost();
  void Tell(SocketEvent event, uint64_t bytes = 0);

  UvIoThread& thread_;
  union {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } handle_;
  uv_write_t write_request_;
  const bool unix_socket_;
  bool reading_ = false;
  bool stop_reading_ = false;  // OnAlloc asks OnRead to
  bool parcel_out_ = false;    // the session half has it
  bool authenticated_ = false;
  bool protocol_error_ = false;
  bool end_of_input_ = false;
  bool lost_ = false;
  bool eager_ = false;
  bool closing_ = false;
  uint64_t read_turn_ = 0;   // of the last read(2): one a turn
  uint64_t read_bytes_ = 0;  // not told yet
  RespParser parser_;
  std::vector<std::unique_ptr<RequestBatch>> parcel_;
  size_t parcel_next_ = 0;            // the session half's
  std::vector<Piece> queue_;          // to be written
  std::vector<std::string> writing_;  // of the asynchronous write under way; empty: none is
  uint64_t writing_bytes_ = 0;
  std::atomic<size_t> input_bytes_{0}, input_free_bytes_{0};
};

}  // namespace redynamo
