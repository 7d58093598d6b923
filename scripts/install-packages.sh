#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that the project needs and this machine lacks.
#
#   scripts/install-packages.sh build          what `make` needs
#   scripts/install-packages.sh build test     what `make test` needs too
#   scripts/install-packages.sh build deb      what `make deb` needs too
#
# A package counts as present when what we use of it is there (a command or a header), whoever put
# it there. When nothing is missing this takes a few milliseconds and touches nothing. When
# something is missing and cannot be installed (no apt, not root and no sudo), the list is printed
# and the exit code is 1.
set -u

# package=probe: a probe with a slash is a file, one with a colon is python:module, else a command.
build_packages=(
  g++=g++ cmake=cmake ninja-build=ninja ccache=ccache
  libuv1-dev=/usr/include/uv.h
  librocksdb-dev=/usr/include/rocksdb/db.h
  libabsl-dev=/usr/include/absl/container/flat_hash_map.h
  libxxhash-dev=/usr/include/xxhash.h
  libfmt-dev=/usr/include/fmt/core.h
  libjemalloc-dev=/usr/include/jemalloc/jemalloc.h
)
test_packages=(
  doctest-dev=/usr/include/doctest/doctest.h
  redis-server=redis-server redis-tools=redis-benchmark
  python3=/usr/bin/python3 python3-redis=python:redis
  libhiredis-dev=/usr/include/hiredis/hiredis.h
  nodejs=node npm=npm
  clang=clang clang-tidy=clang-tidy clang-format=clang-format
  libclang-rt-14-dev=/usr/lib/llvm-14/lib/clang
  libbenchmark-dev=/usr/include/benchmark/benchmark.h
)
deb_packages=(file=file dpkg-dev=dpkg-shlibdeps)
# Tried once each, and no error when they cannot be had.
optional_test_packages=(linux-perf=perf spin=spin iproute2=ip)

present() {
  case $1 in
    python:*) /usr/bin/python3 -c "import ${1#python:}" 2>/dev/null ;;
    */*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
  esac
}

missing_of() {
  local entry
  for entry in "$@"; do
    present "${entry#*=}" || echo "${entry%%=*}"
  done
}

wanted=() optional=()
for set_name in "$@"; do
  case $set_name in
    build) wanted+=("${build_packages[@]}") ;;
    test) wanted+=("${test_packages[@]}") optional+=("${optional_test_packages[@]}") ;;
    deb) wanted+=("${deb_packages[@]}") ;;
    *) echo "usage: $0 {build|test|deb}..." >&2; exit 2 ;;
  esac
done
[ ${#wanted[@]} -gt 0 ] || { echo "usage: $0 {build|test|deb}..." >&2; exit 2; }

mapfile -t missing < <(missing_of "${wanted[@]}")
mapfile -t missing_optional < <([ ${#optional[@]} -eq 0 ] || missing_of "${optional[@]}")
[ ${#missing[@]} -gt 0 ] || [ ${#missing_optional[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
  [ ${#missing[@]} -gt 0 ] || exit 0
  echo "These Debian packages are missing and cannot be installed from here:" >&2
  echo "  apt-get install ${missing[*]}" >&2
  exit 1
fi

# Some packages start a service when they arrive (redis-server would take port 6379): a policy
# that says "no" to every start stands while we install, and a service that we brought is
# disabled, so that it does not come up with the machine either.
policy=/usr/sbin/policy-rc.d
made_policy=no
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
  "${as_root[@]}" chmod 755 "$policy"
  made_policy=yes
fi
cleanup() {
  if [ "$made_policy" = yes ]; then "${as_root[@]}" rm -f "$policy"; fi
}
trap cleanup EXIT

install_now() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "$@" </dev/null
}

"${as_root[@]}" apt-get update -q </dev/null || echo "apt-get update failed; trying anyway" >&2
status=0
if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing: ${missing[*]}"
  install_now "${missing[@]}" || status=1
fi
for package in "${missing_optional[@]}"; do
  install_now "$package" >/dev/null 2>&1 || echo "optional package $package: not available"
done
case " ${missing[*]} " in
  *" redis-server "*)
    if command -v systemctl >/dev/null; then
      "${as_root[@]}" systemctl disable --now redis-server >/dev/null 2>&1
    fi ;;
esac
if [ $status -ne 0 ]; then
  echo "apt-get could not install: ${missing[*]}" >&2
fi
exit $status
