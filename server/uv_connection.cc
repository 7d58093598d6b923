// SPDX-License-Identifier: Apache-2.0
#include "server/uv_connection.h"

#include <algorithm>
#include <utility>

#include "server/server.h"
#include "server/uv_address.h"
#include "server/uv_loop.h"

namespace redynamo {
namespace {

constexpr int kPiecesPerWrite = 64;

}  // namespace

UvConnection::UvConnection(UvLoop& loop, bool unix_socket)
    : loop_(loop), unix_socket_(unix_socket) {
  if (unix_socket) {
    uv_pipe_init(loop.uv(), &handle_.pipe, 0);
  } else {
    uv_tcp_init(loop.uv(), &handle_.tcp);
  }
  handle_.any.data = this;
  write_request_.data = this;
}

UvConnection::~UvConnection() = default;

void UvConnection::Open(bool cluster_client) {
  Server& server = loop_.server();
  SessionIdentity who;
  who.cluster_client = cluster_client;
  DescribePeer(&handle_.any, server.config().unixsocket, &who);
  std::optional<std::string_view> refusal = RefusalOf(server, who);
  if (refusal) return Refuse(*refusal);
  who.id = server.clients().NextId();
  if (!unix_socket_) SetTcpOptions(&handle_.tcp, server.config().tcp_keepalive_seconds);
  session_ = std::make_unique<Session>(server, *this, std::move(who));
  StartReading();
}

void UvConnection::Refuse(std::string_view text) {
  uv_buf_t buffer = uv_buf_init(const_cast<char*>(text.data()), unsigned(text.size()));
  uv_try_write(stream(), &buffer, 1);  // best effort: a fresh socket has room
  BeginClose();
}

// --- in ---

void UvConnection::StartReading() {
  if (reading_ || end_of_input_ || closing_) return;
  reading_ = true;
  uv_read_start(stream(), OnAlloc, OnRead);
}

void UvConnection::StopReading() {
  if (!reading_) return;
  reading_ = false;
  uv_read_stop(stream());
}

// An empty buffer makes libuv come back with UV_ENOBUFS instead of reading: that ends its loop of
// reads, so that each client has one read a turn.
void UvConnection::OnAlloc(uv_handle_t* handle, size_t, uv_buf_t* buffer) {
  auto* self = static_cast<UvConnection*>(handle->data);
  *buffer = uv_buf_init(nullptr, 0);
  uint64_t turn = self->loop_.server().turn();
  if (self->read_turn_ == turn) return;
  bool waiting = self->batch_ != nullptr;  // not all has been executed
  if (waiting && self->parser_.pending_bytes() >= kWaitingInputBytes) {
    self->stop_reading_ = true;  // not here: libuv is about to call OnRead
    return;
  }
  self->read_turn_ = turn;
  size_t capacity;
  char* room = self->parser_.PrepareRead(kReadBytes, &capacity);
  *buffer = uv_buf_init(room, unsigned(std::min<size_t>(capacity, 1u << 30)));
}

void UvConnection::OnRead(uv_stream_t* stream, ssize_t size, const uv_buf_t* buffer) {
  auto* self = static_cast<UvConnection*>(stream->data);
  if (size == UV_ENOBUFS && buffer->len == 0) {
    if (std::exchange(self->stop_reading_, false)) self->StopReading();
    return;
  }
  self->HandleRead(size);
}

void UvConnection::HandleRead(ssize_t size) {
  if (size <= 0) parser_.CommitRead(0);
  if (size == 0) return;
  if (size < 0) {
    StopReading();
    end_of_input_ = true;
    bool listening = session_->is_pubsub() || session_->monitoring ||
                     session_->state == SessionState::kDeferred ||
                     session_->state == SessionState::kPaused;
    if (size != UV_EOF || listening) return BeginClose();
    RunPipeline();
    return;
  }
  parser_.CommitRead(size_t(size));
  ServerStats& stats = loop_.server().stats();
  stats.reads_processed++;
  stats.net_input_bytes += uint64_t(size);
  session_->net_input_bytes += uint64_t(size);
  uint64_t pending = parser_.pending_bytes();
  stats.recent_max_input_bytes = std::max(stats.recent_max_input_bytes, pending);
  if (pending > loop_.server().config().client_query_buffer_limit_bytes) {
    CountQueryLimit(*session_);
    return BeginClose();
  }
  RunPipeline();
}

// True when the batch has requests.
bool UvConnection::ParseAhead() {
  if (!batch_) batch_ = loop_.batches().Take();
  parser_.SetAuthenticated(session_->authenticated);
  parser_.SetBulkBytesMax(int64_t(loop_.server().config().proto_max_bulk_len_bytes));
  int most = session_->authenticated ? RequestBatch::kRequests : 1;
  protocol_error_ = !FillBatch(parser_, most, batch_.get());
  return batch_->count > 0;
}

void UvConnection::ReleaseInput() {
  parser_.Release();
  if (batch_) loop_.batches().Give(std::move(batch_));
}

void UvConnection::RunPipeline() {
  if (closing_) return;
  int budget = kRequestsPerTurn;
  Wake();  // replies, or changes without one, want the end of the turn
  while (session_->state == SessionState::kRunning) {
    if (!batch_ || batch_->empty()) {
      if (batch_) parser_.Release();
      if (protocol_error_ || !ParseAhead()) break;
    }
    if (session_->output.pending_bytes() > kPendingOutputStopBytes) {
      output_full_ = true;  // Flush goes on when half of it has left
      return;
    }
    if (budget == 0 || loop_.InputStopped()) return loop_.RunLater(this);
    ExecuteBatch(*session_, *batch_, &budget);
  }
  if (session_->state == SessionState::kRunning) {
    ReleaseInput();
    if (protocol_error_) {
      AnswerProtocolError(*session_, parser_.error());
    } else if (end_of_input_) {
      session_->CloseAfterReplies();
    }
  }
  if (session_->state == SessionState::kRunning) StartReading();
  if (session_->state == SessionState::kClosing) StopReading();
}

// --- out ---

void UvConnection::Wake() { loop_.FlushLater(this); }

void UvConnection::Resume() {
  Wake();
  loop_.RunLater(this);
}

bool UvConnection::Flush(uint64_t position) {
  if (closing_) return true;
  if (session_->close_now()) return BeginClose(), true;
  OutputBuffer& output = session_->output;
  if (output.Release(position) && !Write()) return BeginClose(), true;
  if (!OutputWithinLimits(*session_)) return BeginClose(), true;
  if (session_->state == SessionState::kClosing && output.pending_bytes() == 0) {
    return BeginClose(), true;
  }
  if (output_full_ && output.pending_bytes() < kPendingOutputStopBytes / 2) {
    output_full_ = false;
    loop_.RunLater(this);
  }
  return !output.HasHeld();
}

// Writes what is released; false when the client is gone. What the socket does not take at once
// goes by an asynchronous write, after which OnWritten goes on.
bool UvConnection::Write() {
  OutputBuffer& output = session_->output;
  ServerStats& stats = loop_.server().stats();
  iovec pieces[kPiecesPerWrite];
  static_assert(sizeof(uv_buf_t) == sizeof(iovec));
  while (write_bytes_ == 0 && output.HasReleased()) {
    int count = output.Gather(pieces, kPiecesPerWrite, false);
    uint64_t gathered = 0;
    for (int i = 0; i < count; ++i) gathered += pieces[i].iov_len;
    int written = uv_try_write(stream(), reinterpret_cast<uv_buf_t*>(pieces), unsigned(count));
    if (written < 0 && written != UV_EAGAIN) return false;
    if (written > 0) {
      output.Consume(uint64_t(written));
      stats.writes_processed++;
      stats.net_output_bytes += uint64_t(written);
      session_->net_output_bytes += uint64_t(written);
      if (uint64_t(written) == gathered) continue;
    }
    count = output.Gather(pieces, kPiecesPerWrite, true);
    for (int i = 0; i < count; ++i) write_bytes_ += pieces[i].iov_len;
    if (uv_write(&write_request_, stream(), reinterpret_cast<uv_buf_t*>(pieces), unsigned(count),
                 OnWritten) != 0) {
      return false;
    }
  }
  return true;
}

void UvConnection::OnWritten(uv_write_t* request, int status) {
  auto* self = static_cast<UvConnection*>(request->data);
  uint64_t bytes = self->write_bytes_;
  self->write_bytes_ = 0;
  if (self->closing_) return;
  if (status < 0) return self->BeginClose();
  self->loop_.server().stats().writes_processed++;
  self->loop_.server().stats().net_output_bytes += bytes;
  self->session_->net_output_bytes += bytes;
  self->session_->output.Consume(bytes);
  self->Wake();
}

// --- the end ---

void UvConnection::BeginClose() {
  if (closing_) return;
  closing_ = true;
  reading_ = false;
  session_.reset();
  batch_.reset();
  loop_.Forget(this);
  uv_close(&handle_.any,
           [](uv_handle_t* handle) { delete static_cast<UvConnection*>(handle->data); });
}

size_t UvConnection::InputBytes() const { return parser_.pending_bytes(); }

size_t UvConnection::InputFreeBytes() const {
  size_t memory = parser_.memory_bytes();
  return memory > InputBytes() ? memory - InputBytes() : 0;
}

}  // namespace redynamo
