#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules as a test: folders, lengths, licence lines, banned calls, unfinished marks.

    tests/tidy/tidy.py [ROOT]        checks the tree; one line per finding, exit code 1 if any
    tests/tidy/tidy.py --self-test   proves that every rule bites (see self_test.py)

Exceptions stand in exceptions.txt beside this file, one a line: RULE SUBJECT REASON..., where
SUBJECT is the path, or path:function for function-length. An exception that nothing needs any
more is a finding too, so the list can only shrink.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import functions  # noqa: E402  (our own scanner of function lengths)

FILE_LINES_MAX = 600
LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70

CPP = (".cc", ".h")
SCRIPTS = (".py", ".sh", ".mjs", ".js")
SKIPPED_FOLDERS = re.compile(r"^(build[^/]*|data|\.git|node_modules|__pycache__)$")

# Which of our folders a folder may include besides itself.
MAY_INCLUDE = {
    "base": set(),
    "protocol": {"base"},
    "storage": {"base"},
    "cluster": {"base", "storage", "protocol"},
    "server": {"base", "protocol", "storage", "cluster"},
}
# Headers of libraries that only some files may see: pattern of the include -> pattern of the file.
GUARDED_HEADERS = [
    (re.compile(r"^uv(/|\.h$)"), re.compile(r"^(tests/)?server/uv_[^/]*$"),
     "uv.h belongs in server/uv_*"),
    (re.compile(r"^rocksdb/"), re.compile(r"^(tests/)?storage/rocks_[^/]*$"),
     "rocksdb/ belongs in storage/rocks_*"),
]

# rule, pattern in code without comments and strings, files it is about, files allowed, message
BANNED_CPP = [
    ("clock", re.compile(r"\b(system_clock|steady_clock|high_resolution_clock|gettimeofday|"
                         r"clock_gettime|timespec_get)\b|(?<![\w.>])(std::|::)?time\s*\("
                         r"\s*(nullptr|NULL|0|&\w+)\s*\)"),
     re.compile(r""), re.compile(r"^(base/(clock|log_line)\.cc|server/tsc_clock\.(cc|h))$"),
     "time comes from base/clock.h"),
    ("random", re.compile(r"(?<![\w.>])(std::|::)s?random\s*\(|\bs?rand\s*\(|"
                          r"\b(random_device|mt19937(_64)?|arc4random\w*|drand48|lrand48)\b"),
     re.compile(r""), re.compile(r"^base/random\.(cc|h)$"),
     "randomness comes from base/random.h"),
    ("sleep", re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|uv_sleep)\b|"
                         r"(?<![\w.>])(::)?sleep\s*\("),
     re.compile(r"^(tests|protocol|cluster)/"), None,
     "do not sleep: poll for the condition with a deadline"),
    ("throw", re.compile(r"\bthrow\b"),
     re.compile(r"^(base|protocol|storage|cluster|server)/"), None,
     "failures are Status and Result, not exceptions"),
    ("unordered", re.compile(r"\b(unordered_(map|set)|flat_hash_(map|set)|node_hash_\w+)\b"),
     re.compile(r"^cluster/"), None,
     "no unordered container where order could reach a message"),
]
# A pause of at most 20 ms is the step of a poll; anything longer is a guess.
SLEEP_IN_SCRIPT = re.compile(r"\b(time|asyncio)\.sleep\s*\(\s*(?!0?\.0[01]\d*\s*\)|0?\.020*\s*\)|"
                             r"0\s*\))|^\s*sleep\s+[\d.$]")
# Spelt in pieces, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "HA" + "CK"]) + r")\b|"
                        + r"(//|#|\*|<!--)\s*XX" + r"X\b")
WORKPLACE = re.compile(r"(?<![\w.])/wo" + r"rk/")
SPDX = "SPDX-License-Identifier: Apache-2.0"
TEST_NAME = re.compile(r'^\s*TEST_CASE(_FIXTURE)?\s*\((?:\s*\w+\s*,)?\s*"([^"]*)"')


class Findings:
    def __init__(self, exceptions):
        self.exceptions = exceptions  # {(rule, subject)}
        self.used = set()
        self.lines = []

    def add(self, rule, path, line, message, subject=None):
        key = (rule, subject or path)
        if key in self.exceptions:
            self.used.add(key)
            return
        self.lines.append(f"{path}:{line}: [{rule}] {message}")

    def report_stale(self):
        for rule, subject in sorted(self.exceptions - self.used):
            self.lines.append(f"exceptions.txt: [stale] nothing needs {rule} {subject} any more")


def files_of(root):
    """Paths relative to root: what git would commit, or every file when root is no clone."""
    if os.path.exists(os.path.join(root, ".git")):
        listed = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True, check=True, text=True).stdout
        return sorted(path for path in set(listed.split("\0"))
                      if path and os.path.isfile(os.path.join(root, path)))
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not SKIPPED_FOLDERS.match(name)]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(found)


def kind_of(path, text):
    """'cpp', 'script', 'build', 'text' or None (binary data and the licence are not ours)."""
    name = os.path.basename(path)
    if name.endswith(CPP):
        return "cpp"
    if name.endswith(SCRIPTS) or text.startswith("#!"):
        return "script"
    if name in ("Makefile", "CMakeLists.txt") or name.endswith(".cmake"):
        return "build"
    if name.endswith((".md", ".conf", ".service", ".in", ".txt")):
        return "text"
    return None


def check_common(path, lines, kind, findings):
    if kind != "text":
        if not any(SPDX in line for line in lines[:2]):
            findings.add("spdx", path, 1, f"the first lines need: {SPDX}")
        if len(lines) > FILE_LINES_MAX:
            findings.add("file-length", path, len(lines),
                         f"{len(lines)} lines, at most {FILE_LINES_MAX}: split it by idea")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_COLUMNS_MAX:
                findings.add("line-length", path, number,
                             f"{len(line)} columns, at most {LINE_COLUMNS_MAX}")
    for number, line in enumerate(lines, 1):
        if UNFINISHED.search(line):
            findings.add("unfinished", path, number, "finish it, or open an issue")
        if WORKPLACE.search(line):
            findings.add("machine-path", path, number, "a path of somebody's machine")


def check_includes(path, text, findings):
    folder = path.split("/")[0]
    tested = path.split("/")[1] if folder == "tests" and path.count("/") > 1 else None
    for match in re.finditer(r'^\s*#\s*include\s*(["<])([^">]+)[">]', text, re.M):
        line = text.count("\n", 0, match.start()) + 1
        target = match.group(2)
        for header, allowed, message in GUARDED_HEADERS:
            if header.match(target) and not allowed.match(path):
                findings.add("include", path, line, message)
        first = target.split("/")[0]
        if match.group(1) == '"':
            if first not in MAY_INCLUDE and first != "tests":
                findings.add("include", path, line, f'"{target}": say the folder, from the top')
            elif folder in MAY_INCLUDE and first != folder and first not in MAY_INCLUDE[folder]:
                findings.add("include", path, line, f"{folder}/ may not include {first}/")
            elif (tested in MAY_INCLUDE and first not in ("tests", tested)
                  and first not in MAY_INCLUDE[tested]):
                findings.add("include", path, line, f"tests of {tested}/ may not include {first}/")


def check_cpp(path, text, findings):
    if path.endswith(".h") and "#pragma once" not in text:
        findings.add("pragma-once", path, 1, "a header needs #pragma once")
    check_includes(path, text, findings)
    code = functions.blank_comments_and_strings(text)
    for rule, pattern, about, allowed, message in BANNED_CPP:
        if not about.search(path) or (allowed and allowed.match(path)):
            continue
        for match in pattern.finditer(code):
            findings.add(rule, path, code.count("\n", 0, match.start()) + 1,
                         f"{match.group(0).strip()}: {message}")
    for name, first, last in functions.cpp_functions(code):
        report_long(path, name, first, last, findings)
    for number, line in enumerate(text.splitlines(), 1):
        match = TEST_NAME.match(line)
        if match and ": " not in match.group(2):
            findings.add("test-name", path, number, "say `area: what holds when ...`")
    if not re.fullmatch(r"[a-z0-9_]+\.(cc|h)", os.path.basename(path)):
        findings.add("file-name", path, 1, "file names are snake_case")


def check_script(path, text, findings):
    if path.endswith(".py"):
        for name, first, last in functions.python_functions(text):
            report_long(path, name, first, last, findings)
    if path.startswith(("tests/", "redis-tests/")) and not path.startswith("tests/tidy/"):
        for number, line in enumerate(text.splitlines(), 1):
            if SLEEP_IN_SCRIPT.search(line):
                findings.add("sleep", path, number,
                             "do not sleep: poll for the condition with a deadline")


def report_long(path, name, first, last, findings):
    length = last - first + 1
    if length > FUNCTION_LINES_MAX:
        findings.add("function-length", path, first,
                     f"{name}: {length} lines, at most {FUNCTION_LINES_MAX}", f"{path}:{name}")


def read_exceptions(path):
    exceptions = set()
    if os.path.exists(path):
        with open(path) as file:
            for line in file:
                words = line.split("#")[0].split()
                if words:
                    exceptions.add((words[0], words[1]))
    return exceptions


def check_tree(root, exceptions):
    """The findings of a whole tree, as lines of text, and how many files were looked at."""
    findings = Findings(exceptions)
    looked_at = 0
    for path in files_of(root):
        try:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                text = file.read()
        except UnicodeDecodeError:
            continue
        kind = kind_of(path, text)
        if kind is None:
            continue
        looked_at += 1
        check_common(path, text.splitlines(), kind, findings)
        if kind == "cpp":
            check_cpp(path, text, findings)
        elif kind == "script":
            check_script(path, text, findings)
    findings.report_stale()
    return findings.lines, looked_at


def main():
    if "--self-test" in sys.argv:
        import self_test
        sys.exit(self_test.run())
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.dirname(HERE))
    lines, looked_at = check_tree(root, read_exceptions(os.path.join(HERE, "exceptions.txt")))
    for line in lines:
        print(line)
    print(f"tidy: {looked_at} files, {len(lines)} findings")
    sys.exit(1 if lines or not looked_at else 0)


if __name__ == "__main__":
    main()
