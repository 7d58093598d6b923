// SPDX-License-Identifier: Apache-2.0
// One TCP connection between two nodes: frames in, frames out, and nothing of what they mean.
//
// Life: (Dial → OnDialled) or (accepted) → Open → OnFrame … → Close, or OnBroken and then Close →
// libuv has closed the handle → deleted. After Close the owner hears nothing more.
#pragma once

#include <uv.h>

#include <cstdint>
#include <string>

#include "cluster/message.h"
#include "protocol/frame.h"
#include "server/output_buffer.h"

namespace redynamo {

class UvPeerConnection {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void OnDialled(int uv_error) = 0;
    virtual void OnFrame(const FramedMessage& message) = 0;
    // The stream has ended, the socket has failed (`detail` says how), or, with `bad_bytes`, what
    // came is not frames. Close it.
    virtual void OnBroken(bool bad_bytes, std::string detail) = 0;
  };

  // `owner` must live until Close.
  UvPeerConnection(uv_loop_t* loop, Owner* owner);
  UvPeerConnection(const UvPeerConnection&) = delete;
  UvPeerConnection& operator=(const UvPeerConnection&) = delete;

  uv_stream_t* stream() { return reinterpret_cast<uv_stream_t*>(&handle_); }
  // 0: OnDialled follows, but not from within. Else libuv's error, and nothing follows.
  int Dial(const sockaddr* address);
  // When there is a connection: begins to read. `unheard_ms` is how long the kernel may wait for
  // the peer to take what was sent. Frames longer than `frame_bytes` are bad.
  void Open(int64_t unheard_ms, uint32_t frame_bytes);
  void AllowLongFrames() { reader_.SetLimits({}); }
  std::string address() const;  // of the other end, "?" when there is none

  // Encodes into the queue, and gives the bytes that this took.
  uint64_t Queue(const Message& message);
  // Writes what is queued, as far as the socket takes it; the rest follows by itself. False when
  // the socket has failed: Close it.
  bool Flush();
  uint64_t queued_bytes() const { return output_.pending_bytes(); }
  uint64_t bytes_in() const { return bytes_in_; }
  uint64_t bytes_out() const { return bytes_out_; }  // taken by the socket

  // At any time. The object lives until libuv is done with it.
  void Close();
  bool closed() const { return owner_ == nullptr; }

 private:
  ~UvPeerConnection() = default;
  static void OnAlloc(uv_handle_t* handle, size_t hint, uv_buf_t* buffer);
  static void OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer);
  static void OnWritten(uv_write_t* request, int status);
  void HandleRead(ssize_t size);
  void Break(bool bad_bytes, std::string detail);

  uv_tcp_t handle_;
  uv_connect_t connect_request_;
  uv_write_t write_request_;
  Owner* owner_;
  FrameReader reader_;
  OutputBuffer output_;
  uint64_t write_bytes_ = 0;  // of the asynchronous write under way; 0: none is
  uint64_t bytes_in_ = 0;
  uint64_t bytes_out_ = 0;
};

}  // namespace redynamo
