// SPDX-License-Identifier: Apache-2.0
#include "server/io_client.h"

#include <utility>

#include "server/server.h"
#include "server/session_pipeline.h"
#include "server/uv_io_socket.h"
#include "server/uv_io_thread.h"
#include "server/uv_io_threads.h"

namespace redynamo {

IoClient::IoClient(UvIoThreads& threads, UvIoSocket* socket, SessionIdentity who)
    : threads_(threads), thread_(socket->thread()), socket_(*socket) {
  session_ = std::make_unique<Session>(threads.server(), *this, std::move(who));
  socket->client = this;
  ToSocket& order = NewOrder();
  order.open_fd = session_->identity.fd;
  order.authenticated = session_->authenticated;
}

IoClient::~IoClient() = default;

void IoClient::Wake() { threads_.FlushLater(this); }

void IoClient::Resume() {
  Wake();
  threads_.RunLater(this);
}

size_t IoClient::InputBytes() const { return socket_.input_bytes(); }
size_t IoClient::InputFreeBytes() const { return socket_.input_free_bytes(); }

ToSocket& IoClient::NewOrder() {
  ToSocket& order = thread_.outgoing().orders.emplace_back();
  order.socket = &socket_;
  return order;
}

// --- in ---

void IoClient::Hear(const FromSocket& told) {
  if (closing_) return;
  switch (told.event) {
    case SocketEvent::kRequests:
      session_->net_input_bytes += told.bytes;
      parcel_here_ = true;
      return RunPipeline();
    case SocketEvent::kWritten: return HearWritten(told.bytes);
    case SocketEvent::kEndOfInput: return HearEndOfInput();
    case SocketEvent::kDrained:
      if (session_->state == SessionState::kRunning) session_->CloseAfterReplies();
      return;
    case SocketEvent::kProtocolError:
      session_->net_input_bytes += told.bytes;
      if (session_->state == SessionState::kRunning) {
        AnswerProtocolError(*session_, socket_.error());
      }
      return;
    case SocketEvent::kInputLimit: CountQueryLimit(*session_); return BeginClose();
    case SocketEvent::kLost: return BeginClose();
    case SocketEvent::kClosed: return;
  }
}

void IoClient::HearWritten(uint64_t bytes) {
  session_->net_output_bytes += bytes;
  session_->output.Returned(bytes);
  bool closes = session_->state == SessionState::kClosing;
  if (closes || session_->soft_limit_since_ms != 0) Wake();
  if (output_full_ && session_->output.pending_bytes() < kPendingOutputStopBytes / 2) {
    output_full_ = false;
    threads_.RunLater(this);
  }
}

// Who waits for something is not there to get it; a listener's messages so far still go out.
void IoClient::HearEndOfInput() {
  switch (session_->state) {
    case SessionState::kDeferred:
    case SessionState::kPaused: return BeginClose();
    case SessionState::kRunning:
    case SessionState::kLoadingKeys:
    case SessionState::kComparing:
    case SessionState::kSettling:
    case SessionState::kGathering:
      if (session_->is_pubsub() || session_->monitoring) session_->CloseAfterReplies();
      return;
    case SessionState::kClosing: return;
  }
}

void IoClient::RunPipeline() {
  if (closing_ || !parcel_here_) return;
  int budget = kRequestsPerTurn;
  Wake();  // replies, or changes without one, want the end of the turn
  while (session_->state == SessionState::kRunning) {
    RequestBatch* batch = socket_.NextBatch();
    if (!batch) {
      parcel_here_ = false;
      parcel_done_ = true;
      return;
    }
    if (session_->output.pending_bytes() > kPendingOutputStopBytes) {
      output_full_ = true;  // HearWritten goes on when half of it has left
      return;
    }
    if (budget == 0 || threads_.InputStopped()) return threads_.RunLater(this);
    ExecuteBatch(*session_, *batch, &budget);
  }
}

// --- out ---

bool IoClient::Flush(uint64_t position) {
  if (closing_) return true;
  if (session_->close_now()) return BeginClose(), true;
  OutputBuffer& output = session_->output;
  output.Release(position);
  if (!OutputWithinLimits(*session_)) return BeginClose(), true;
  HandOver();
  if (session_->state == SessionState::kClosing && output.pending_bytes() == 0) {
    return BeginClose(), true;
  }
  return !output.HasHeld();
}

void IoClient::HandOver() {
  OutputBuffer& output = session_->output;
  SocketMail& mail = thread_.outgoing();
  bool has_bytes = output.HasReleased();
  if (has_bytes) {
    size_t small_at = mail.bytes.size();
    std::vector<std::string>& big = threads_.pieces();
    output.Lend(&mail.bytes, &big);
    for (std::string& piece : big) NewOrder().big = std::move(piece);
    if (big.empty()) {
      ToSocket& order = NewOrder();
      order.small_at = small_at;
      order.small_size = mail.bytes.size() - small_at;
    }
    big.clear();
  }
  bool eager = session_->state == SessionState::kClosing && output.lent_bytes() > 0 && !told_eager_;
  if (!has_bytes && !eager && !parcel_done_) return;
  ToSocket& last = has_bytes ? mail.orders.back() : NewOrder();
  last.write = has_bytes;
  last.eager = eager;
  told_eager_ |= eager;
  last.authenticated = session_->authenticated;
  last.parcel_done = std::exchange(parcel_done_, false);
}

// --- the end ---

void IoClient::BeginClose() {
  if (closing_) return;
  closing_ = true;
  session_.reset();
  NewOrder().close = true;
  threads_.MailWaits();
}

}  // namespace redynamo
