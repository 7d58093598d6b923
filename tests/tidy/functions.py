# SPDX-License-Identifier: Apache-2.0
"""Finds where functions begin and end, in C++ by a small scanner, in Python by its own parser.

The C++ scanner first blanks comments and literals (lines keep their numbers), then walks the
braces. What stands before an opening brace decides what it opens: a container (namespace, class,
struct, union, enum, extern "C") whose contents are looked at again; a function, when the head has
a parameter list and no `=` outside it; anything else (initialisers, and all braces within a
function) belongs to what encloses it. Example: in

    namespace a { struct B { int F(int x) const { if (x) { return 1; } return 2; } }; }

the heads are `namespace a`, `struct B`, `int F(int x) const`, and one function, F, is found.
"""
import ast
import re

_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/'                            # comments
    r'|R"(?P<delim>[^()\\\s]{0,16})\(.*?\)(?P=delim)"'  # raw strings
    r'|"(?:\\.|[^"\\\n])*"'                          # strings
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",         # characters, not digit separators
    re.S)
_CONTAINER = re.compile(r'\b(namespace|class|struct|union|enum|extern)\b')
_NAME = re.compile(r'([~\w:]+|operator\s*[^\s\w(]+|operator\s*\(\s*\))\s*\($')


def blank_comments_and_strings(text):
    """The same text with comments and literals turned to spaces; line breaks stay."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return _TOKEN.sub(blank, text)


def cpp_functions(code):
    """(name, first line, last line) of each function in text that was blanked before."""
    code = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group(0)),
                  code, flags=re.M)
    found = []
    depth_stack = []  # of ("container" | "function" | "other", name, first line)
    head_start = 0
    for match in re.finditer(r"[{};]", code):
        mark, at = match.group(0), match.start()
        in_function = any(kind == "function" for kind, _, _ in depth_stack)
        if mark == "{":
            head = code[head_start:at]
            kind = "other" if in_function else _kind_of_head(head)
            stripped = len(head) - len(head.lstrip())
            first = code.count("\n", 0, head_start + stripped) + 1
            depth_stack.append((kind, _name_of(head), first))
            if kind == "other" and not in_function:
                continue  # an initialiser: the head goes on behind it
        elif mark == "}":
            if not depth_stack:
                break  # unbalanced by macros: give up on the rest rather than guess
            kind, name, first = depth_stack.pop()
            if kind == "function":
                found.append((name, first, code.count("\n", 0, at) + 1))
            elif kind == "other" and not in_function:
                continue
        head_start = at + 1
    return found


def _kind_of_head(head):
    outside = _without_parentheses(head)
    if "(" in head:
        # `= {` opens an initialiser; an operator's own `=` does not count.
        before = re.sub(r"operator\s*[^\s\w(]+", "operator", outside)
        if "=" in before:
            return "other"
        # `Name(...) : member{...}`: a brace right behind a word in the initialiser list.
        after = before.rsplit("()", 1)[-1]
        if re.search(r"[:,]\s*[\w:<>]+\s*$", before) and re.search(r"\)\s*:", before + " "):
            return "other"
        if re.search(r"\b(class|struct|enum|union)\b[^()]*$", after):
            return "container"
        return "function"
    return "container" if _CONTAINER.search(outside) else "other"


def _without_parentheses(head):
    """`f(int a) : b(c)` becomes `f() : b()`: what is in parentheses does not matter here."""
    out, depth = [], 0
    for char in head:
        if char == ")":
            depth -= 1
        if depth == 0:
            out.append(char)
        if char == "(":
            depth += 1
    return "".join(out)


def _name_of(head):
    flat = _without_parentheses(head)
    match = _NAME.search(flat.split(")")[0])
    return match.group(1).replace(" ", "") if match else "?"


def python_functions(text):
    """(name, first line, last line) of each function, the outermost of nested ones included."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.append((node.name, node.lineno, node.end_lineno))
    return found
