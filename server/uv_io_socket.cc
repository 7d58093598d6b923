// SPDX-License-Identifier: Apache-2.0
#include "server/uv_io_socket.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "server/uv_io_thread.h"

namespace redynamo {
namespace {

constexpr size_t kParcelBatches = kRequestsPerTurn / RequestBatch::kRequests;
constexpr size_t kPiecesPerWrite = 64;
// So much that has left is worth a wake-up of the data thread.
constexpr uint64_t kWrittenWakeBytes = 64 * 1024;

}  // namespace

RequestBatch* UvIoSocket::NextBatch() {
  while (parcel_next_ < parcel_.size() && parcel_[parcel_next_]->empty()) ++parcel_next_;
  return parcel_next_ < parcel_.size() ? parcel_[parcel_next_].get() : nullptr;
}

void UvIoSocket::Tell(SocketEvent event, uint64_t bytes) {
  thread_.Tell({client, event, bytes}, event != SocketEvent::kWritten);
}

void UvIoSocket::Obey(ToSocket& order, const std::string& small) {
  if (order.open_fd >= 0) {
    authenticated_ = order.authenticated;
    return Open(order.open_fd);
  }
  if (closing_) return;
  if (order.close) return Close();
  if (order.small_size > 0) {
    queue_.push_back({{}, std::string_view(small).substr(order.small_at, order.small_size)});
  } else if (!order.big.empty()) {
    queue_.push_back({std::move(order.big), {}});
  }
  eager_ |= order.eager;
  if (order.write) Write();
  if (order.eager && queue_.empty() && writing_.empty()) Written(0, true);
  if (!order.parcel_done) return;
  authenticated_ = order.authenticated;
  FinishParcel();
  ParseOn();
}

void UvIoSocket::Open(int fd) {
  int error;
  if (unix_socket_) {
    uv_pipe_init(thread_.uv(), &handle_.pipe, 0);
    error = uv_pipe_open(&handle_.pipe, fd);
  } else {
    uv_tcp_init(thread_.uv(), &handle_.tcp);
    error = uv_tcp_open(&handle_.tcp, fd);
  }
  handle_.any.data = this;
  write_request_.data = this;
  if (error == 0) return StartReading();
  close(fd);
  Lost();
}

// --- in ---

void UvIoSocket::StartReading() {
  if (reading_ || end_of_input_ || lost_ || closing_) return;
  reading_ = true;
  uv_read_start(&handle_.stream, OnAlloc, OnRead);
}

void UvIoSocket::StopReading() {
  if (!reading_) return;
  reading_ = false;
  uv_read_stop(&handle_.stream);
}

// As in UvConnection: an empty buffer ends libuv's loop of reads.
void UvIoSocket::OnAlloc(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
  auto* self = static_cast<UvIoSocket*>(handle->data);
  *buffer = uv_buf_init(nullptr, 0);
  uint64_t turn = self->thread_.turn();
  if (self->read_turn_ == turn) return;
  if (self->parcel_out_ && self->parser_.pending_bytes() >= kWaitingInputBytes) {
    self->stop_reading_ = true;  // not here: libuv is about to call OnRead
    return;
  }
  self->read_turn_ = turn;
  size_t capacity;
  char* room = self->parser_.PrepareRead(kReadBytes, &capacity);
  *buffer = uv_buf_init(room, unsigned(std::min<size_t>(capacity, 1u << 30)));
}

void UvIoSocket::OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  auto* self = static_cast<UvIoSocket*>(stream->data);
  if (size == UV_ENOBUFS && buffer->len == 0) {
    if (std::exchange(self->stop_reading_, false)) self->StopReading();
    return;
  }
  self->HandleRead(size);
}

void UvIoSocket::HandleRead(ssize_t size) {
  if (size <= 0) parser_.CommitRead(0);
  if (size == 0) return;
  if (size < 0) {
    StopReading();
    end_of_input_ = true;
    if (size != UV_EOF) return Lost();
    Tell(SocketEvent::kEndOfInput);
    if (!parcel_out_) ParseOn();
    return;
  }
  parser_.CommitRead(size_t(size));
  read_bytes_ += uint64_t(size);
  thread_.CountRead(uint64_t(size), parser_.pending_bytes());
  if (parser_.pending_bytes() > thread_.limits().query_buffer_bytes.load()) {
    ShowFigures();
    StopReading();
    end_of_input_ = true;
    return Tell(SocketEvent::kInputLimit, std::exchange(read_bytes_, 0));
  }
  if (parcel_out_) {
    ShowFigures();
  } else {
    ParseOn();
  }
}

// Sends the next parcel, or what stands in its place. REQUIRES: the parcel is here, and empty.
void UvIoSocket::ParseOn() {
  if (lost_) return;
  if (!protocol_error_ && FillParcel()) {
    parcel_out_ = true;
    parcel_next_ = 0;
    ShowFigures();
    Tell(SocketEvent::kRequests, std::exchange(read_bytes_, 0));
    return StartReading();
  }
  parser_.Release();
  ShowFigures();
  if (protocol_error_) {
    StopReading();
    end_of_input_ = true;
    Tell(SocketEvent::kProtocolError, std::exchange(read_bytes_, 0));
  } else if (end_of_input_) {
    Tell(SocketEvent::kDrained);
  } else {
    StartReading();
  }
}

bool UvIoSocket::FillParcel() {
  parser_.SetAuthenticated(authenticated_);
  parser_.SetBulkBytesMax(thread_.limits().bulk_bytes.load(std::memory_order_relaxed));
  int most = authenticated_ ? RequestBatch::kRequests : 1;
  while (parcel_.size() < kParcelBatches && !protocol_error_) {
    std::unique_ptr<RequestBatch> batch = thread_.batches().Take();
    protocol_error_ = !FillBatch(parser_, most, batch.get());
    int count = batch->count;
    if (count == 0) {
      thread_.batches().Give(std::move(batch));
    } else {
      parcel_.push_back(std::move(batch));
    }
    if (count < RequestBatch::kRequests) break;
  }
  return !parcel_.empty();
}

void UvIoSocket::FinishParcel() {
  parcel_out_ = false;
  for (auto& batch : parcel_) thread_.batches().Give(std::move(batch));
  parcel_.clear();
  parser_.Release();
}

void UvIoSocket::ShowFigures() {
  size_t pending = parser_.pending_bytes(), memory = parser_.memory_bytes();
  input_bytes_.store(pending, std::memory_order_relaxed);
  input_free_bytes_.store(memory > pending ? memory - pending : 0, std::memory_order_relaxed);
}

// --- out ---

// What the socket does not take at once goes by an asynchronous write, after which OnWritten goes
// on.
void UvIoSocket::Write() {
  if (lost_) queue_.clear();
  if (queue_.empty() || !writing_.empty()) {
    // The mail's bytes will be gone.
    for (Piece& piece : queue_) {
      if (piece.owned.empty()) piece.owned = piece.bytes;
    }
    return;
  }
  for (Piece& piece : queue_) {
    if (!piece.owned.empty()) piece.bytes = piece.owned;
  }
  if (!WriteNow()) return Lost();
  if (queue_.empty()) return;
  std::vector<uv_buf_t> buffers;
  for (Piece& piece : queue_) {
    bool whole = piece.bytes.size() == piece.owned.size();
    writing_.push_back(whole ? std::move(piece.owned) : std::string(piece.bytes));
  }
  queue_.clear();
  for (std::string& bytes : writing_) {
    buffers.push_back({bytes.data(), bytes.size()});
    writing_bytes_ += bytes.size();
  }
  int error = uv_write(&write_request_, &handle_.stream, buffers.data(), unsigned(buffers.size()),
                       OnWritten);
  if (error != 0) Lost();
}

// Takes what the socket takes from the queue; false when the connection is broken.
bool UvIoSocket::WriteNow() {
  size_t done = 0;
  bool full = false;
  uint64_t total = 0;
  while (!full && done < queue_.size()) {
    uv_buf_t buffers[kPiecesPerWrite];
    size_t count = std::min(queue_.size() - done, kPiecesPerWrite);
    size_t gathered = 0;
    for (size_t i = 0; i < count; ++i) {
      std::string_view bytes = queue_[done + i].bytes;
      buffers[i] = {const_cast<char*>(bytes.data()), bytes.size()};
      gathered += bytes.size();
    }
    int written = uv_try_write(&handle_.stream, buffers, unsigned(count));
    if (written < 0 && written != UV_EAGAIN) return false;
    if (written < 0) break;
    thread_.CountWrite(uint64_t(written));
    total += uint64_t(written);
    size_t left = size_t(written);
    full = left < gathered;
    while (left > 0 && left >= queue_[done].bytes.size()) left -= queue_[done++].bytes.size();
    if (left > 0) queue_[done].bytes.remove_prefix(left);
  }
  queue_.erase(queue_.begin(), queue_.begin() + ptrdiff_t(done));
  if (total > 0) Written(total, total >= kWrittenWakeBytes);
  return true;
}

void UvIoSocket::Written(uint64_t bytes, bool wake) {
  thread_.Tell({client, SocketEvent::kWritten, bytes}, wake || eager_);
}

void UvIoSocket::OnWritten(uv_write_t* request, int status) {
  auto* self = static_cast<UvIoSocket*>(request->data);
  uint64_t bytes = std::exchange(self->writing_bytes_, 0);
  self->writing_.clear();
  if (self->closing_) return;
  if (status < 0) return self->Lost();
  self->thread_.CountWrite(bytes);
  self->Written(bytes, true);
  self->Write();
}

// --- the end ---

void UvIoSocket::Lost() {
  if (std::exchange(lost_, true)) return;
  StopReading();
  Tell(SocketEvent::kLost);
}

void UvIoSocket::Close() {
  if (std::exchange(closing_, true)) return;
  uv_close(&handle_.any, [](uv_handle_t* handle) {
    auto* self = static_cast<UvIoSocket*>(handle->data);
    self->Tell(SocketEvent::kClosed);
    delete self;
  });
}

}  // namespace redynamo
