// SPDX-License-Identifier: Apache-2.0
// One client's socket: bytes in → parsed requests → the dispatcher → held replies → bytes out. All
// of it in the data thread; with I/O threads, uv_io_socket and io_client share the work instead.
//
// Life: Open → reading … → BeginClose (the session dies) → libuv has closed the handle → deleted.
#pragma once

#include <uv.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "protocol/resp_parser.h"
#include "server/session.h"
#include "server/session_pipeline.h"
#include "server/transport.h"

namespace redynamo {

class UvLoop;

class UvConnection : public Transport {
 public:
  UvConnection(UvLoop& loop, bool unix_socket);
  ~UvConnection() override;

  uv_stream_t* stream() { return &handle_.stream; }
  // After uv_accept: refuses the client (maxclients, protected mode) or begins to read.
  void Open(bool cluster_client);

  // Transport
  void Wake() override;
  void Resume() override;
  size_t InputBytes() const override;
  size_t InputFreeBytes() const override;

  // Executes what has been parsed, and parses on, up to a bound that is fair to others. Called by
  // the loop for connections that asked to go on, too.
  void RunPipeline();
  // Lets go of replies up to `position` and writes them. True when nothing waits for a later
  // position: it then need not be called again before the next Wake.
  bool Flush(uint64_t position);
  // Safe at any time but inside RunPipeline; the object lives until libuv is done with the handle.
  void BeginClose();

  bool flush_listed = false;  // the loop's: in its list of connections to flush
  bool run_listed = false;    // in its list of connections that go on executing

 private:
  static void OnAlloc(uv_handle_t* handle, size_t hint, uv_buf_t* buffer);
  static void OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);
  static void OnWritten(uv_write_t* request, int status);

  void Refuse(std::string_view text);
  void HandleRead(ssize_t size);
  bool ParseAhead();
  void ReleaseInput();
  void StopReading();
  void StartReading();
  bool Write();

  UvLoop& loop_;
  union {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  } handle_;
  uv_write_t write_request_;
  uint64_t write_bytes_ = 0;  // of the asynchronous write under way; 0: none is
  const bool unix_socket_;
  bool reading_ = false;
  bool stop_reading_ = false;  // OnAlloc asks OnRead to
  bool end_of_input_ = false;  // the client has shut down its side
  bool protocol_error_ = false;
  bool output_full_ = false;  // not executed until replies have left
  bool closing_ = false;
  uint64_t read_turn_ = 0;  // of the last read(2): one a turn
  RespParser parser_;
  std::unique_ptr<RequestBatch> batch_;  // while there are requests
  std::unique_ptr<Session> session_;     // until BeginClose
};

}  // namespace redynamo
