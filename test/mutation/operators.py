# SPDX-License-Identifier: MIT
"""Small faults in C text: a negated condition, a limit off by one, a missing statement."""

import re

# A mutant must not touch these: the unit tests do not notice a missing lock, but TSan, Helgrind and DRD do.
LOCKS = re.compile(r"pthread_mutex_(un)?lock\(|pthread_mutex_destroy\(|pthread_cond(attr)?_destroy\(")
DECLARATION = re.compile(r"(static |const |struct \w+ |unsigned |enum \w+ |size_t |ssize_t |bool |int |char |void |"
                         r"u?int\d+_t |pthread_\w+_t |sigset_t |mode_t |socklen_t |short |_Static_assert)")
KEYWORD = re.compile(r"(return|break|continue|goto|case|default|else|do|while|for|if|switch)\b")

REPLACEMENTS = [
    ("relation", re.compile(r" (<=|>=|<|>|==|!=) "),
     {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}),
    ("logic", re.compile(r" (&&|\|\|)(?= |\n)"), {"&&": "||", "||": "&&"}),
    ("arithmetic", re.compile(r" (\+=|-=|\+|-|\*|/|%|<<|>>|&|\||\^) "),
     {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "+=": "-=", "-=": "+=", "<<": ">>", ">>": "<<", "&": "|",
      "|": "&", "^": "|"}),
    ("step", re.compile(r"(\+\+|--)"), {"++": "--", "--": "++"}),
    ("negation", re.compile(r"(?<![\w)])(!)(?=[\w(])"), {"!": ""}),
    ("constant", re.compile(r"(?<![\w.])(0|[1-9]\d*|true|false)(?![\w.])"), {"true": "false", "false": "true"}),
]
CONDITION = re.compile(r"\b(if|while) \(")
RETURN = re.compile(r"\breturn ([^;]+);")


class Mutant:
    def __init__(self, file, operator, begin, end, text, source):
        self.file = file
        self.operator = operator
        self.begin = begin
        self.end = end
        self.text = text
        self.line = source.count("\n", 0, begin) + 1
        self.before = statement_at(source, begin, end)
        self.after = statement_at(self.apply(source), begin, begin + len(text))

    def apply(self, source):
        return source[:self.begin] + self.text + source[self.end:]

    def key(self):
        return (self.file, self.before, self.after)

    def __str__(self):
        return f"{self.file}:{self.line}: {self.operator}: {self.before} -> {self.after}"


def statement_at(source, begin, end):
    """The lines around a place, as one."""
    first = source.rfind("\n", 0, begin) + 1
    last = source.find("\n", end)
    return " ".join(source[first:last].split())


def blank(match):
    return re.sub(r"[^\n]", " ", match.group(0))


def code_of(source):
    """The same text, in which comments, literals and the preprocessor's lines are blanks."""
    code = re.sub(r"/\*.*?\*/", blank, source, flags=re.S)
    code = re.sub(r"\"(\\.|[^\"\\])*\"|'(\\.|[^'\\])*'", blank, code)
    return re.sub(r"^#(.*\\\n)*.*$", blank, code, flags=re.M)


def bodies(code):
    """The places between the braces of functions: those that begin a line."""
    for match in re.finditer(r"^\{\n(.*?)^\}", code, flags=re.M | re.S):
        yield match.start(1), match.end(1)


def closing(code, opening):
    depth = 0
    for at in range(opening, len(code)):
        depth += (code[at] == "(") - (code[at] == ")")
        if not depth:
            return at
    raise ValueError("no closing parenthesis")


def replaced(operator, match, replacements):
    found = match.group(1)
    if found in replacements:
        return replacements[found]
    return str(int(found) + 1)


def declares(code, at):
    """Whether a pointer is declared there: its asterisk multiplies nothing."""
    line = code[code.rfind("\n", 0, at) + 1:at]
    return DECLARATION.match(line.strip() + " ") is not None and "=" not in line


def replacements_in(file, source, code, begin, end):
    for operator, pattern, table in REPLACEMENTS:
        for match in pattern.finditer(code, begin, end):
            if match.group(1) == "*" and declares(code, match.start(1)):
                continue
            yield Mutant(file, operator, match.start(1), match.end(1), replaced(operator, match, table), source)


def conditions_in(file, source, code, begin, end):
    for match in CONDITION.finditer(code, begin, end):
        opening = match.end() - 1
        close = closing(code, opening)
        inside = source[opening + 1:close]
        yield Mutant(file, "condition", opening + 1, close, f"!({inside})", source)


def returns_in(file, source, code, begin, end):
    for match in RETURN.finditer(code, begin, end):
        value = match.group(1).strip()
        if value in ("0", "false", "true", "NULL"):
            continue
        if not value.startswith("("):
            yield Mutant(file, "return", match.start(1), match.end(1), "0", source)


def statements_in(file, source, code, begin, end):
    """Whole statements, which may go on over several lines."""
    for match in re.finditer(r"^ +([a-z*(+-][^;{}]*);$", code[begin:end], flags=re.M):
        first, last = begin + match.start(1), begin + match.end(1)
        text = code[first:last]
        if KEYWORD.match(text) or DECLARATION.match(text) or LOCKS.search(text):
            continue
        if text.count("(") != text.count(")"):
            continue
        yield Mutant(file, "drop", first, last, "", source)


def mutants_of(file, source):
    code = code_of(source)
    for begin, end in bodies(code):
        for find in (replacements_in, conditions_in, returns_in, statements_in):
            yield from find(file, source, code, begin, end)
