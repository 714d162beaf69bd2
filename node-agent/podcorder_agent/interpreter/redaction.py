"""Secrets in command lines: found and replaced before anything leaves the machine.

A cheap search over the whole command line decides whether the detailed work is done at all. What is taken out is the
secret alone: the flag, the name of the variable and the scheme of a header stay, so that a command can still be read.

Python's `re` cannot be interrupted. What bounds its work: the defaults are written to take linear time; patterns of
users that repeat a choice are refused, and see no more than `WINDOW` bytes at once (windows overlap by `OVERLAP`, so a
secret that is found only by text further away than that is missed).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

REPLACEMENT = b"[redacted]"
WINDOW = 4096
OVERLAP = 512
MOST_PATTERNS = 64
LONGEST_PATTERN = 1024

_HINTS = re.compile(
    rb"pass|pwd|token|secret|key|cred|auth|bearer|cookie|session|://|akia|asia|gh[opsur]_|github_pat|glpat-|xox|eyj|mysql"
    rb"|mariadb|curl|wget|redis-cli|ldap"
)
"""One of these stands in every command line with a secret that the defaults know; all matching is on lower case."""

_NAME = (
    rb"(?:pass(?:word|wd|phrase|code)|(?<![a-z0-9])pass|(?<![a-z0-9])pwd|token|secret"
    rb"|(?:api|access|private|secret|signing|encryption|account|auth|master)[_.-]?key|credentials?|session_?id)"
)
"""What the name of a secret ends with: the word stands before = or : or at the end of a flag."""

_SECRET_FLAG = re.compile(rb"--?[\w.-]{0,64}" + _NAME).fullmatch
_ASSIGNMENT = re.compile(rb"(?:--?)?[\w.-]{0,64}" + _NAME + rb"\d{0,4}=").match
_SHELL_FLAG = re.compile(rb"-[a-z]{0,8}c").fullmatch
_WORD = rb"\"(?:[^\"\\]|\\.)*+\"?|'[^']*+'?|[^\s'\";&|<>()]++"
_BEFORE = rb"(?:^|[\s'\"/;&|(])"
_EMBEDDED = tuple(
    (hints, re.compile(pattern, re.DOTALL).finditer)
    for hints, pattern in (
        # name=value, name: value, "name": "value"
        ((b"=", b":"), _NAME + rb"\d{0,4}[\"']?\s{0,4}[=:]\s{0,4}(?!//)(" + _WORD + rb")"),
        # --name value in shell code
        ((b"-",), rb"(?<=-)(?<![a-z0-9]-)(?:[a-z0-9]{1,24}[_.-]){0,3}" + _NAME + rb"\s{1,4}(?!--)(" + _WORD + rb")"),
        # headers
        (
            (b"authorization",),
            rb"authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?"
            rb"(?:(?:basic|bearer|token|digest|negotiate|apikey|aws4-hmac-sha256)\s{1,4})?([^'\"\r\n]+)",
        ),
        ((b"cookie", b"x-"), rb"(?:cookie|x-[\w-]{0,32}(?:key|token|auth|secret)):\s{0,4}([^'\"\r\n]+)"),
        ((b"bearer",), rb"\bbearer\s{1,4}([\w.~+/-]{8,}=*)"),
        # a password in a URL
        ((b"://",), rb"://[^\s/:@'\"]{0,128}:([^\s/'\"]+)@"),
        # tokens that show what they are
        ((b"akia", b"asia"), rb"(?<!\w)((?:akia|asia)[a-z0-9]{12,20})(?!\w)"),
        ((b"gh", b"glpat-", b"xox"), rb"(?<![\w-])((?:gh[opsur]_|github_pat_|glpat-|xox[abeoprs]-)[\w-]{10,})"),
        ((b"eyj",), rb"(?<![\w.-])(eyj[\w-]{10,}+\.[\w-]{10,}+(?:\.[\w-]*+)?)"),
        ((b"private key",), rb"(-----begin [a-z ]{0,32}private key-----.*)"),
        ((b"pass:",), rb"(?<!\w)pass:([^\s'\"]+)"),
        # short flags of some programs
        ((b"-u", b"user"), rb"(?:^|[\s'\"])(?:-u|--user|--proxy-user)[= ]?['\"]?[^\s:'\"]{1,128}:([^\s'\"]+)"),
        ((b"mysql", b"mariadb"), _BEFORE + rb"(?:mysql|mariadb)[\w-]{0,16}\s(?:[^;&|\n]{0,256}?\s)??-p([^\s'\";&|]+)"),
        ((b"sshpass",), _BEFORE + rb"sshpass\s{1,4}-p\s{0,4}(" + _WORD + rb")"),
        ((b"redis-cli",), _BEFORE + rb"redis-cli\s(?:[^;&|\n]{0,256}?\s)??-a\s{1,4}(" + _WORD + rb")"),
    )
)
"""(some of these words must be there, matches with the secret as group 1)."""
_USER_FLAG = re.compile(rb"-u|--user|--proxy-user").fullmatch
_USER_PASSWORD = re.compile(rb"([^:@/\s]{1,128}:)(.+)", re.DOTALL).fullmatch
_SHORT_FLAGS = {b"sshpass": b"-p", b"redis-cli": b"-a", b"ldapsearch": b"-w", b"ldapmodify": b"-w", b"ldapadd": b"-w"}
_DATABASE = re.compile(rb"(?:mysql|mariadb)[\w-]{0,16}").fullmatch


_FEW = 3
"""Repetitions of a group that may hold others."""
_REST = re.compile(rb"\S*")


class Pattern:
    """A user's pattern. Group 1 is replaced, the whole match where there is no group."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST_PATTERN:
            raise ValueError(f"it is longer than {LONGEST_PATTERN} characters")
        try:
            self.compiled = re.compile(text.encode("utf-8", "surrogatepass"))
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(str(error)) from None
        if _repeats_a_choice(text):
            raise ValueError("it repeats something that can match in several ways, which can take for ever")

    def spans(self, text: bytes) -> Iterator[tuple[int, int]]:
        """Where it matches, window by window; a match at a window's end goes on to the end of the word."""
        group = 1 if self.compiled.groups else 0
        for start in range(0, max(1, len(text) - OVERLAP), WINDOW - OVERLAP):
            for match in self.compiled.finditer(text[start : start + WINDOW]):
                first, last = match.span(group)
                if last == WINDOW and (rest := _REST.match(text, start + last)):
                    last = rest.end() - start
                if first < last:
                    yield start + first, start + last


def _repeats_a_choice(text: str) -> bool:
    """Whether something that can match in more than one way is repeated, such as (a+)+ or (a|ab)* : where the rest then
    fails, every combination of the ways is tried. An alternative of single characters is one way."""
    parser: Any = getattr(re, "_parser")  # noqa: B009  the only parser of this syntax there is

    def walk(node: Any, inside: bool) -> bool:
        if isinstance(node, parser.SubPattern | list | tuple):
            if isinstance(node, tuple) and len(node) == 2:
                if str(node[0]) in ("MAX_REPEAT", "MIN_REPEAT"):
                    low, high, repeated = node[1]
                    return (inside and low != high) or walk(repeated, inside or high > _FEW)
                if inside and str(node[0]) == "BRANCH":
                    return True
            return any(walk(each, inside) for each in node)
        return False

    return walk(parser.parse(text), False)


def _replace(text: bytes, spans: list[tuple[int, int]]) -> tuple[bytes, int]:
    """The text without the spans, and how many there were; those that touch are one."""
    pieces: list[bytes] = []
    end, count = 0, 0
    for first, last in sorted(spans):
        if first < end or (first == end and count):
            if last > end:
                end = last
            continue
        pieces += (text[end:first], REPLACEMENT)
        end, count = last, count + 1
    pieces.append(text[end:])
    return b"".join(pieces), count


class Redaction:
    """What is taken out of arguments: the defaults, and the patterns of a policy (bytes-wise, over each argument
    and over the arguments joined by spaces)."""

    def __init__(self, defaults: bool = True, patterns: Sequence[str] = ()) -> None:
        self.defaults = defaults
        self.patterns: list[Pattern] = []
        self.problems: list[str] = []
        """One sentence for each pattern that is not used."""
        for text in patterns[:MOST_PATTERNS]:
            try:
                self.patterns.append(Pattern(text))
            except ValueError as error:
                self.problems.append(f"The redaction pattern {text[:80]!r} is not used: {error}.")
        if len(patterns) > MOST_PATTERNS:
            self.problems.append(f"Only the first {MOST_PATTERNS} redaction patterns are used, of {len(patterns)}.")

    def apply(self, argv: bytes, arguments: list[bytes]) -> tuple[list[bytes], int]:
        """The arguments without their secrets, and how many values were taken out; `argv` are the arguments as they
        stand in memory, one NUL behind each."""
        count = 0
        if self.defaults and _HINTS.search(argv.lower()):
            arguments, count = _apply_defaults(arguments)
        for pattern in self.patterns:
            arguments, more = _apply_pattern(pattern, arguments)
            count += more
        return arguments, count


def _apply_defaults(arguments: list[bytes]) -> tuple[list[bytes], int]:
    found: list[bytes] = []
    count = 0
    program = arguments[0].rpartition(b"/")[2] if arguments else b""
    short = _SHORT_FLAGS.get(program)
    database = _DATABASE(program)
    before = b""
    for index, value in enumerate(arguments):
        cleaned, more = _clean(value, before, short if index else None, bool(database and index))
        found.append(cleaned)
        count += more
        before = value
    return found, count


def _clean(value: bytes, before: bytes, short: bytes | None, database: bool) -> tuple[bytes, int]:
    """One argument, seen after the one before it."""
    if before and value and (before == short or (not value.startswith(b"--") and _is_secret_flag(before))):
        return REPLACEMENT, 1
    if short and value.startswith(short) and len(value) > len(short):
        return short + REPLACEMENT, 1
    if database and value.startswith(b"-p") and len(value) > 2:
        return b"-p" + REPLACEMENT, 1
    if _USER_FLAG(before) and (match := _USER_PASSWORD(value)):
        return match[1] + REPLACEMENT, 1
    lower = value.lower()
    if not _HINTS.search(lower):
        return value, 0
    if not _SHELL_FLAG(before) and (assignment := _ASSIGNMENT(lower)):
        end = assignment.end()
        return (value[:end] + REPLACEMENT, 1) if end < len(value) else (value, 0)
    spans = [
        match.span(1) for hints, find in _EMBEDDED if any(hint in lower for hint in hints) for match in find(lower)
    ]
    return _replace(value, spans) if spans else (value, 0)


def _is_secret_flag(value: bytes) -> bool:
    return value.startswith(b"-") and len(value) < 128 and _SECRET_FLAG(value.lower()) is not None


def _apply_pattern(pattern: Pattern, arguments: list[bytes]) -> tuple[list[bytes], int]:
    """Over each argument, so that ^ and $ mean its ends, and over the line, so that a flag and its value can match."""
    count = 0
    found: list[bytes] = []
    for value in arguments:
        cleaned, more = _replace(value, list(pattern.spans(value)))
        found.append(cleaned)
        count += more
    spans = list(pattern.spans(b" ".join(found)))
    if not spans:
        return found, count
    start = 0
    for index, value in enumerate(found):
        end = start + len(value)
        own = [
            (max(first, start) - start, min(last, end) - start) for first, last in spans if first < end and last > start
        ]
        if own and REPLACEMENT not in (value[first:last] for first, last in own):
            found[index], more = _replace(value, own)
            count += more
        start = end + 1
    return found, count
