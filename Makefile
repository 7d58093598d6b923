# SPDX-License-Identifier: Apache-2.0
# One command for each intent; `make help` lists them. CMake does the building.

BUILD_TYPE ?= RelWithDebInfo
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
DESTDIR ?=
PORT ?= 6379
DATA ?= $(CURDIR)/data
FUZZ_SECONDS ?= 60
PYTHON ?= /usr/bin/python3
BENCH_FLAGS ?=

# Objects of one clone serve another: paths in the cache are relative to the checkout.
export CCACHE_BASEDIR ?= $(CURDIR)
export CCACHE_NOHASHDIR ?= 1

CONFIGURE = cmake -S . -G Ninja -DCMAKE_BUILD_TYPE=$(BUILD_TYPE) -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
SERVER = build/redynamo-server

.PHONY: all server run ring test check format asan tsan fuzz bench bench-ring install deb clean \
        help packages test-packages

all: packages server

packages:
	@scripts/install-packages.sh build

test-packages:
	@scripts/install-packages.sh build test
	@scripts/install-clients.sh

server:
	@mkdir -p build
	@$(CONFIGURE) -B build >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@ninja -C build -j$(JOBS) redynamo-server

run: all
	@mkdir -p $(DATA)
	@exec $(SERVER) $(wildcard conf/redynamo.conf) --port $(PORT) --dir $(DATA)

ring: all
	@$(PYTHON) scripts/run_ring.py $(SERVER) $(DATA)-ring

test: test-packages
	@$(PYTHON) scripts/run_suites.py --jobs $(JOBS) standard

asan: test-packages
	@$(PYTHON) scripts/run_suites.py --jobs $(JOBS) asan

tsan: test-packages
	@$(PYTHON) scripts/run_suites.py --jobs $(JOBS) tsan

check: test-packages
	@JOBS=$(JOBS) scripts/check-changed.sh

format:
	@git ls-files -- '*.cc' '*.h' | xargs -r clang-format -i

fuzz: test-packages
	@FUZZ_SECONDS=$(FUZZ_SECONDS) JOBS=$(JOBS) scripts/fuzz.sh

bench: test-packages server
	@$(CONFIGURE) -B build-bench -DREDYNAMO_BENCH=ON -DREDYNAMO_TESTS=OFF >/dev/null
	@ninja -C build-bench -j$(JOBS)
	@if [ -x build-bench/micro_bench ]; then build-bench/micro_bench; fi
	@$(PYTHON) tests/bench/end_to_end.py $(BENCH_FLAGS)

bench-ring: test-packages server
	@$(PYTHON) tests/bench/ring_speed.py $(BENCH_FLAGS)
	@$(PYTHON) tests/bench/ring_papers.py

install: server
	@DESTDIR=$(DESTDIR) cmake --install build --prefix $(PREFIX)

deb: all
	@scripts/install-packages.sh build deb
	@cd build && cpack -G DEB

clean:
	@rm -rf build build-asan build-tsan build-fuzz build-bench

help:
	@echo 'make            build the server: build/redynamo-server (installs missing packages)'
	@echo 'make run        build and start it: PORT=6379, data in DATA=./data'
	@echo 'make ring       three nodes on this machine, ports 7001 to 7003, data in DATA-ring'
	@echo 'make test       everything but the sanitizers: unit, tidy, process, oracle, model'
	@echo 'make check      format, house rules and clang-tidy of what this branch changes'
	@echo 'make format     clang-format every source file'
	@echo 'make asan       the unit tests under AddressSanitizer and UBSan (build-asan)'
	@echo 'make tsan       the threaded parts under ThreadSanitizer (build-tsan)'
	@echo 'make fuzz       each fuzzer for FUZZ_SECONDS=60'
	@echo 'make bench      micro benchmarks, then against redis-server: BENCH_FLAGS=--quick'
	@echo 'make bench-ring a ring of three beside a Redis primary with two replicas'
	@echo 'make install    to PREFIX=/usr/local (DESTDIR honoured), with a systemd unit'
	@echo 'make deb        a Debian package in build/'
	@echo 'make clean      remove the build directories (never the data)'
