// SPDX-License-Identifier: Apache-2.0
#include "server/uv_peer_connection.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <utility>

#include "server/uv_address.h"

namespace redynamo {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr int kPiecesPerWrite = 64;

}  // namespace

UvPeerConnection::UvPeerConnection(uv_loop_t* loop, Owner* owner) : owner_(owner) {
  uv_tcp_init(loop, &handle_);
  handle_.data = connect_request_.data = write_request_.data = this;
}

int UvPeerConnection::Dial(const sockaddr* address) {
  return uv_tcp_connect(&connect_request_, &handle_, address, [](uv_connect_t* request, int error) {
    auto* self = static_cast<UvPeerConnection*>(request->data);
    if (self->owner_) self->owner_->OnDialled(error);
  });
}

void UvPeerConnection::Open(int64_t unheard_ms, uint32_t frame_bytes) {
  SetTcpOptions(&handle_, 0);
  uv_os_fd_t fd;
  if (uv_fileno(reinterpret_cast<uv_handle_t*>(&handle_), &fd) == 0) {
    unsigned timeout_ms = unsigned(unheard_ms);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
  }
  reader_.SetLimits({.frame_bytes = frame_bytes, .message_bytes = frame_bytes});
  uv_read_start(stream(), OnAlloc, OnRead);
}

std::string UvPeerConnection::address() const {
  sockaddr_storage address{};
  int size = sizeof address;
  int error = uv_tcp_getpeername(&handle_, reinterpret_cast<sockaddr*>(&address), &size);
  return error == 0 ? AddressText(address) : "?";
}

// --- in ---

void UvPeerConnection::OnAlloc(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
  auto* self = static_cast<UvPeerConnection*>(handle->data);
  size_t capacity;
  char* room = self->reader_.PrepareRead(kReadBytes, &capacity);
  *buffer = uv_buf_init(room, unsigned(std::min<size_t>(capacity, 1u << 30)));
}

void UvPeerConnection::OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t*) {
  static_cast<UvPeerConnection*>(stream->data)->HandleRead(size);
}

void UvPeerConnection::HandleRead(ssize_t size) {
  reader_.CommitRead(size_t(std::max<ssize_t>(size, 0)));
  if (size == 0 || !owner_) return;
  if (size == UV_EOF) return Break(false, "closed by the other side");
  if (size < 0) return Break(false, uv_strerror(int(size)));
  bytes_in_ += uint64_t(size);
  FramedMessage message;
  FrameResult result = FrameResult::kNeedMore;
  while (owner_ && (result = reader_.Next(&message)) == FrameResult::kMessage) {
    owner_->OnFrame(message);
  }
  if (owner_ && result == FrameResult::kError) Break(true, reader_.error().message());
}

void UvPeerConnection::Break(bool bad_bytes, std::string detail) {
  uv_read_stop(stream());
  if (owner_) owner_->OnBroken(bad_bytes, std::move(detail));
}

// --- out ---

uint64_t UvPeerConnection::Queue(const Message& message) {
  std::string* out = output_.Tail();
  size_t begin = BeginMessage(out);
  message.EncodeTo(out);
  EndMessage(out, begin, uint8_t(message.kind()));
  uint64_t bytes = out->size() - begin;
  output_.Commit(0, 0);
  return bytes;
}

bool UvPeerConnection::Flush() {
  output_.Release(0);
  iovec pieces[kPiecesPerWrite];
  static_assert(sizeof(uv_buf_t) == sizeof(iovec));
  while (write_bytes_ == 0 && output_.HasReleased()) {
    int count = output_.Gather(pieces, kPiecesPerWrite, false);
    uint64_t gathered = 0;
    for (int i = 0; i < count; ++i) gathered += pieces[i].iov_len;
    int written = uv_try_write(stream(), reinterpret_cast<uv_buf_t*>(pieces), unsigned(count));
    if (written < 0 && written != UV_EAGAIN) return false;
    if (written > 0) {
      output_.Consume(uint64_t(written));
      bytes_out_ += uint64_t(written);
      if (uint64_t(written) == gathered) continue;
    }
    count = output_.Gather(pieces, kPiecesPerWrite, true);
    for (int i = 0; i < count; ++i) write_bytes_ += pieces[i].iov_len;
    if (uv_write(&write_request_, stream(), reinterpret_cast<uv_buf_t*>(pieces), unsigned(count),
                 OnWritten) != 0) {
      return false;
    }
  }
  return true;
}

void UvPeerConnection::OnWritten(uv_write_t* request, int status) {
  auto* self = static_cast<UvPeerConnection*>(request->data);
  uint64_t bytes = std::exchange(self->write_bytes_, 0);
  if (!self->owner_) return;
  if (status < 0) return self->Break(false, uv_strerror(status));
  self->output_.Consume(bytes);
  self->bytes_out_ += bytes;
  if (!self->Flush()) self->Break(false, "it cannot be written to");
}

// --- the end ---

void UvPeerConnection::Close() {
  if (!owner_) return;
  owner_ = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_),
           [](uv_handle_t* handle) { delete static_cast<UvPeerConnection*>(handle->data); });
}

}  // namespace redynamo
