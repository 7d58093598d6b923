#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# `make check`: what a reviewer would ask for first. Formatting and clang-tidy look only at the
# files that differ from BASE (default: where this branch left origin/main, else the last commit);
# the house rules (tests/tidy) look at everything.
set -u
cd "$(dirname "$0")/.." || exit 1
base=${BASE:-$(git merge-base HEAD origin/main 2>/dev/null)}
if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
  base=$(git rev-parse -q --verify HEAD~1 || git hash-object -t tree /dev/null)
fi
mapfile -t changed < <({ git diff --name-only --diff-filter=d "$base" -- '*.cc' '*.h'
                         git ls-files --others --exclude-standard -- '*.cc' '*.h'; } | sort -u)
failed=0

echo "== format (${#changed[@]} changed files)"
if [ ${#changed[@]} -gt 0 ]; then
  clang-format --dry-run --Werror "${changed[@]}" || failed=1
fi

echo "== house rules"
/usr/bin/python3 tests/tidy/tidy.py --self-test || failed=1
/usr/bin/python3 tests/tidy/tidy.py || failed=1

echo "== clang-tidy"
sources=()
for file in "${changed[@]}"; do
  case $file in *.cc) sources+=("$file") ;; esac
done
if [ ${#sources[@]} -gt 0 ]; then
  cmake -S . -G Ninja -B build -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null || exit 1
  # Fuzzers and benchmarks are not in this build's list of commands.
  mapfile -t known < <(for file in "${sources[@]}"; do
    grep -qF "\"$PWD/$file\"" build/compile_commands.json && echo "$file"; done)
  if [ ${#known[@]} -gt 0 ]; then
    printf '%s\n' "${known[@]}" | xargs -P "${JOBS:-2}" -n 1 \
      clang-tidy -p build --quiet --warnings-as-errors='bugprone-*,clang-analyzer-*' \
      2> >(grep -vE 'warnings? generated|^Suppressed|^Use -header-filter' >&2) || failed=1
  fi
fi
if [ $failed -eq 0 ]; then echo "check: ok"; else echo "check: FAILED"; fi
exit $failed
