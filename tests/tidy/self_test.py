# SPDX-License-Identifier: Apache-2.0
"""Proves that each rule of tidy.py bites, and that a clean tree passes.

Each case is a small tree and the rules that must be found in it, no more and no fewer.
"""
import os
import re
import tempfile

import functions
import tidy

HEAD = "// SPDX-License-Identifier: Apache-2.0\n"
SCRIPT_HEAD = "#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0\n"
MARK = "TO" + "DO"


def body(lines):
    return "int Long(int x) {\n" + "  x++;\n" * (lines - 3) + "  return x;\n}\n"


# what is tested: ({path: text}, {rules that must be found})
CASES = {
    "a clean tree": ({
        "base/a.h": HEAD + "#pragma once\n#include <string>\n",
        "server/uv_loop.cc": HEAD + '#include <uv.h>\n#include "storage/x.h"\n',
        "storage/rocks_row_store.cc": HEAD + "#include <rocksdb/db.h>\n",
        "base/clock.cc": HEAD + "auto t = std::chrono::system_clock::now();\n",
        "base/b.cc": HEAD + body(70) + 'const char* s = "rand() ' + MARK[:2] + '";\n',
        "tests/base/a_test.cc": HEAD + 'TEST_CASE("a: holds when empty") {}\n',
    }, set()),
    "a licence line is missing": ({"base/a.cc": "int a;\n"}, {"spdx"}),
    "a script without licence line": ({"scripts/a.sh": "#!/bin/sh\ntrue\n"}, {"spdx"}),
    "base may include nothing": (
        {"base/a.cc": HEAD + '#include "storage/x.h"\n'}, {"include"}),
    "storage may not include protocol": (
        {"storage/a.cc": HEAD + '#include "protocol/reply.h"\n'}, {"include"}),
    "tests follow their folder": (
        {"tests/storage/a_test.cc": HEAD + '#include "server/x.h"\n'}, {"include"}),
    "an include without its folder": ({"base/a.cc": HEAD + '#include "b.h"\n'}, {"include"}),
    "uv.h elsewhere": ({"server/session.cc": HEAD + "#include <uv.h>\n"}, {"include"}),
    "rocksdb elsewhere": ({"storage/a.cc": HEAD + "#include <rocksdb/db.h>\n"}, {"include"}),
    "a file of 601 lines": ({"base/a.cc": HEAD + "\n" * 600}, {"file-length"}),
    "a line of 101 columns": ({"base/a.cc": HEAD + "/" * 101 + "\n"}, {"line-length"}),
    "a function of 71 lines": ({"base/a.cc": HEAD + body(71)}, {"function-length"}),
    "a Python function of 71 lines": (
        {"tests/a.py": "# SPDX-License-Identifier: Apache-2.0\ndef f():\n" + "    x = 1\n" * 70},
        {"function-length"}),
    "the system clock": (
        {"storage/a.cc": HEAD + "auto t = std::chrono::steady_clock::now();\n"}, {"clock"}),
    "time(nullptr)": ({"server/a.cc": HEAD + "int t = time(nullptr);\n"}, {"clock"}),
    "rand": ({"storage/a.cc": HEAD + "int r = rand();\n"}, {"random"}),
    "random_device": ({"tests/base/a_test.cc": HEAD + "std::random_device d;\n"}, {"random"}),
    "a sleep in a test": (
        {"tests/base/a_test.cc": HEAD + "void f() { std::this_thread::sleep_for(1s); }\n"},
        {"sleep"}),
    "a sleep in a Python test": (
        {"tests/a.py": "# SPDX-License-Identifier: Apache-2.0\ntime." + "sleep(1)\n"}, {"sleep"}),
    "a pause within a poll is no sleep": (
        {"tests/a.py": "# SPDX-License-Identifier: Apache-2.0\ntime." + "sleep(0.01)\n"}, set()),
    "a long pause": (
        {"tests/a.py": "# SPDX-License-Identifier: Apache-2.0\ntime." + "sleep(0.25)\n"},
         {"sleep"}),
    "a sleep in a shell test": ({"tests/a.sh": SCRIPT_HEAD + "sleep 1\n"}, {"sleep"}),
    "throw": ({"base/a.cc": HEAD + "void f() { throw 1; }\n"}, {"throw"}),
    "a hash map in cluster": (
        {"cluster/a.h": HEAD + "#pragma once\nstd::unordered_map<int, int> m;\n"}, {"unordered"}),
    "a header without pragma once": ({"base/a.h": HEAD + "int a;\n"}, {"pragma-once"}),
    "an unfinished mark": ({"base/a.cc": HEAD + "// " + MARK + " later\n"}, {"unfinished"}),
    "an unfinished mark in prose": ({"README.md": MARK + ": write\n"}, {"unfinished"}),
    "a machine's path": ({"docs/a.md": "see /wo" + "rk/x\n"}, {"machine-path"}),
    "a test without area": (
        {"tests/base/a_test.cc": HEAD + 'TEST_CASE("works") {}\n'}, {"test-name"}),
    "a file in CamelCase": ({"base/Abc.cc": HEAD}, {"file-name"}),
}

SCANNER_SAMPLE = r'''
namespace a {
struct B {
  B() : x_{1}, y_(2) {
    x_++;
  }
  int F(int x) const {
    if (x) { return '{'; }
    return 1'000;
  }
  bool operator==(const B& o) const {
    return true;
  }
  int x_ = 0;
};
constexpr int kTable[] = {
  1,
  2,
};
std::vector<int> B::G(std::function<void(int)> f) && noexcept {
  auto l = [](int) { return R"({{{)"; };  // {
  return {1, 2};
}
template <typename T>
struct C : D<T> {
  void H() {}
};
}
'''
SCANNER_EXPECTED = [("B", 4, 6), ("F", 7, 10), ("operator==", 11, 13), ("B::G", 20, 23),
                    ("H", 26, 26)]


def rules_found(tree, exceptions=frozenset()):
    with tempfile.TemporaryDirectory() as root:
        for path, text in tree.items():
            os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
            with open(os.path.join(root, path), "w") as file:
                file.write(text)
        lines, _ = tidy.check_tree(root, set(exceptions))
    return {re.search(r"\[([a-z-]+)\]", line).group(1) for line in lines}


def run():
    failed = 0

    def expect(name, got, wanted):
        nonlocal failed
        if got != wanted:
            failed += 1
            print(f"FAILED {name}: found {got}, expected {wanted}")

    for name, (tree, wanted) in CASES.items():
        expect(name, rules_found(tree), wanted)
    long_one = {"base/a.cc": HEAD + body(71)}
    excepted = ("function-length", "base/a.cc:Long")
    expect("an exception is honoured", rules_found(long_one, {excepted}), set())
    expect("a stale exception is found", rules_found({"base/a.cc": HEAD}, {excepted}), {"stale"})
    code = functions.blank_comments_and_strings(SCANNER_SAMPLE)
    expect("the scanner of functions", functions.cpp_functions(code), SCANNER_EXPECTED)
    print(f"tidy self-test: {len(CASES) + 3 - failed} passed, {failed} failed")
    return 1 if failed else 0
