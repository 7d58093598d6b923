// SPDX-License-Identifier: Apache-2.0
// Cost per request: parsing pipelines of SET and GET as the server does, and rendering answers.
#include <benchmark/benchmark.h>

#include <cstring>

#include "protocol/resp_parser.h"
#include "protocol/resp_writer.h"

namespace redynamo {
namespace {

std::string Encode(std::initializer_list<std::string> args) {
  std::string out = "*" + std::to_string(args.size()) + "\r\n";
  for (const std::string& arg : args) {
    out += "$" + std::to_string(arg.size()) + "\r\n" + arg + "\r\n";
  }
  return out;
}

void ParsePipeline(benchmark::State& state, const std::string& one) {
  std::string pipeline;
  for (int i = 0; i < state.range(0); ++i) pipeline += one;
  RespParser parser;
  std::vector<Request> requests(64);
  size_t total = 0;
  for (auto _ : state) {
    size_t room;
    char* to = parser.PrepareRead(65536, &room);
    std::memcpy(to, pipeline.data(), pipeline.size());
    parser.CommitRead(pipeline.size());
    size_t n = 0;
    while (parser.Next(&requests[n]) == ParseResult::kRequest) ++n;
    benchmark::DoNotOptimize(requests.data());
    parser.Release();
    total += n;
  }
  state.SetItemsProcessed(int64_t(total));
  state.counters["s_per_request"] =
      benchmark::Counter(double(total), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void BM_ParseSet100(benchmark::State& state) {
  ParsePipeline(state, Encode({"SET", "key:000000012345", std::string(100, 'x')}));
}
BENCHMARK(BM_ParseSet100)->Arg(1)->Arg(16)->Arg(63);

void BM_ParseGet(benchmark::State& state) {
  ParsePipeline(state, Encode({"GET", "key:000000012345"}));
}
BENCHMARK(BM_ParseGet)->Arg(1)->Arg(16)->Arg(63);

void BM_ParseInlinePing(benchmark::State& state) { ParsePipeline(state, "PING\r\n"); }
BENCHMARK(BM_ParseInlinePing)->Arg(16);

void WriteMany(benchmark::State& state, const Reply& reply) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    for (int i = 0; i < 64; ++i) WriteReply(reply, RespVersion::kResp2, &out);
    benchmark::DoNotOptimize(out.data());
  }
  state.SetItemsProcessed(state.iterations() * 64);
}

void BM_WriteOk(benchmark::State& state) { WriteMany(state, Reply::Ok()); }
BENCHMARK(BM_WriteOk);
void BM_WriteInteger(benchmark::State& state) { WriteMany(state, Reply::Integer(123456)); }
BENCHMARK(BM_WriteInteger);
void BM_WriteBulk100(benchmark::State& state) {
  std::string value(100, 'x');
  WriteMany(state, Reply::View(value));
}
BENCHMARK(BM_WriteBulk100);
void BM_WriteDouble(benchmark::State& state) { WriteMany(state, Reply::Double(12345.678)); }
BENCHMARK(BM_WriteDouble);

}  // namespace
}  // namespace redynamo
