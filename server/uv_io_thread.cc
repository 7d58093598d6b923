// SPDX-License-Identifier: Apache-2.0
#include "server/uv_io_thread.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/uv_io_socket.h"

namespace redynamo {
namespace {

// Mail beyond these gives its memory back.
constexpr size_t kSpareMails = 2;
constexpr size_t kSpareOrdersMax = 1024;
constexpr size_t kSpareBytesMax = 256 << 10;

void Add(const IoFigures& more, IoFigures* sum) {
  sum->reads += more.reads;
  sum->read_bytes += more.read_bytes;
  sum->writes += more.writes;
  sum->written_bytes += more.written_bytes;
  sum->max_input_bytes = std::max(sum->max_input_bytes, more.max_input_bytes);
}

}  // namespace

UvIoThread::UvIoThread(const IoLimits& limits, std::function<void()> wake_data_thread)
    : limits_(limits), wake_data_thread_(std::move(wake_data_thread)) {
  CHECK_THAT(uv_loop_init(&loop_) == 0);
  async_.data = prepare_.data = check_.data = this;
  uv_async_init(&loop_, &async_,
                [](uv_async_t* handle) { static_cast<UvIoThread*>(handle->data)->OnMail(); });
  uv_prepare_init(&loop_, &prepare_);
  uv_check_init(&loop_, &check_);
  uv_prepare_start(&prepare_,
                   [](uv_prepare_t* handle) { static_cast<UvIoThread*>(handle->data)->EndTurn(); });
  uv_check_start(&check_,
                 [](uv_check_t* handle) { static_cast<UvIoThread*>(handle->data)->EndTurn(); });
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "io");
}

UvIoThread::~UvIoThread() { Stop(); }

// --- data thread ---

void UvIoThread::Send() {
  if (outgoing_.orders.empty()) return;
  {
    std::lock_guard lock(mutex_);
    to_sockets_.push_back(std::move(outgoing_));
    outgoing_ = {};
    if (!spare_.empty()) {
      outgoing_ = std::move(spare_.back());
      spare_.pop_back();
    }
  }
  uv_async_send(&async_);
}

void UvIoThread::Receive(std::vector<FromSocket>* events, IoFigures* figures) {
  std::lock_guard lock(mutex_);
  events->swap(from_sockets_);
  Add(std::exchange(new_figures_, {}), figures);
}

void UvIoThread::Stop() {
  if (!thread_.joinable()) return;
  Send();
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  uv_async_send(&async_);
  thread_.join();
  uv_loop_close(&loop_);
}

// --- the I/O thread ---

void UvIoThread::Run() {
  uv_run(&loop_, UV_RUN_DEFAULT);
  EndTurn();
}

void UvIoThread::OnMail() {
  bool stop;
  {
    std::lock_guard lock(mutex_);
    mails_.swap(to_sockets_);
    stop = stop_;
  }
  for (SocketMail& mail : mails_) {
    for (ToSocket& order : mail.orders) order.socket->Obey(order, mail.bytes);
    mail.orders.clear();
    mail.bytes.clear();
  }
  {
    std::lock_guard lock(mutex_);
    for (SocketMail& mail : mails_) {
      bool big = mail.orders.capacity() > kSpareOrdersMax || mail.bytes.capacity() > kSpareBytesMax;
      if (!big && spare_.size() < kSpareMails) spare_.push_back(std::move(mail));
    }
  }
  mails_.clear();
  if (stop) CloseAll();
}

// In front of poll as well: closed handles have told something since the turn's end.
void UvIoThread::EndTurn() {
  turn_++;
  if (told_.empty() && figures_.reads == 0 && figures_.writes == 0) return;
  {
    std::lock_guard lock(mutex_);
    if (from_sockets_.empty()) {
      from_sockets_.swap(told_);
    } else {
      from_sockets_.insert(from_sockets_.end(), told_.begin(), told_.end());
    }
    Add(std::exchange(figures_, {}), &new_figures_);
  }
  told_.clear();
  if (std::exchange(wake_, false)) wake_data_thread_();
}

void UvIoThread::CloseAll() {
  uv_walk(
      &loop_,
      [](uv_handle_t* handle, void*) {
        if (uv_is_closing(handle)) return;
        if (handle->type == UV_TCP || handle->type == UV_NAMED_PIPE) {
          static_cast<UvIoSocket*>(handle->data)->Close();
        } else {
          uv_close(handle, nullptr);
        }
      },
      nullptr);
}

void UvIoThread::CountRead(uint64_t bytes, uint64_t pending) {
  figures_.reads++;
  figures_.read_bytes += bytes;
  figures_.max_input_bytes = std::max(figures_.max_input_bytes, pending);
}

void UvIoThread::CountWrite(uint64_t bytes) {
  figures_.writes++;
  figures_.written_bytes += bytes;
}

}  // namespace redynamo
