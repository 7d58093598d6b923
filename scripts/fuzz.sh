#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzzers with clang and runs each for FUZZ_SECONDS. What a fuzzer learns stays in
# build-fuzz/corpus/NAME; seeds in tests/fuzz/corpus/NAME are read but never written. A crash
# leaves its input in build-fuzz/crashes and fails the run.
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${FUZZ_SECONDS:-60}
jobs=${JOBS:-2}
cmake -S . -G Ninja -B build-fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ \
  -DREDYNAMO_FUZZ=ON -DREDYNAMO_TESTS=OFF -DREDYNAMO_SANITIZE=address,undefined >/dev/null || exit 1

shopt -s nullglob
sources=(tests/fuzz/*_fuzz.cc)
if [ ${#sources[@]} -eq 0 ]; then echo "no fuzzers in tests/fuzz"; exit 1; fi
names=()
for source in "${sources[@]}"; do names+=("$(basename "$source" .cc)"); done
ninja -C build-fuzz -j"$jobs" "${names[@]}" || exit 1

failed=0
mkdir -p build-fuzz/crashes
for name in "${names[@]}"; do
  mkdir -p "build-fuzz/corpus/$name"
  seeds=()
  if [ -d "tests/fuzz/corpus/$name" ]; then seeds=("tests/fuzz/corpus/$name"); fi
  echo "== $name for $seconds s"
  if "build-fuzz/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -verbosity=0 \
       -print_final_stats=1 -artifact_prefix=build-fuzz/crashes/"$name"- \
       "build-fuzz/corpus/$name" "${seeds[@]}" >build-fuzz/"$name".log 2>&1; then
    grep -E 'number_of_executed_units|average_exec_per_sec' build-fuzz/"$name".log
  else
    tail -n 60 build-fuzz/"$name".log
    echo "== $name FAILED"
    failed=$((failed + 1))
  fi
done
echo "$((${#names[@]} - failed)) passed, $failed failed"
[ $failed -eq 0 ]
