"""Secrets in command lines: found and replaced before anything leaves the machine.

A cheap search over the whole command line decides whether the detailed work is done at all. What is taken out is the
secret alone: the flag, the name of the variable and the scheme of a header stay, so that a command can still be read.

The defaults look around, which RE2 cannot: they are run by Python's `re`, and written to take linear time. Patterns of
users are run by RE2, see `patterns.py`. Where these cannot be applied as a whole, all arguments are taken out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from podcorder_redaction.patterns import MOST_PATTERNS, Pattern, TooMuchWork, Work

REPLACEMENT = b"[redacted]"

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


def _merge(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order; those that overlap or touch are one."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged


def _replace(text: bytes, spans: Iterable[tuple[int, int]]) -> tuple[bytes, int]:
    """The text without the spans, and how many values these were; what was taken out before is none."""
    pieces: list[bytes] = []
    end = count = 0
    for first, last in _merge(spans):
        if text[first:last] != REPLACEMENT:
            pieces += (text[end:first], REPLACEMENT)
            end = last
            count += 1
    pieces.append(text[end:])
    return b"".join(pieces), count


class Redaction:
    """What is taken out of arguments: the defaults, and the patterns of a policy (bytes-wise, over each argument
    and over the arguments joined by spaces)."""

    def __init__(self, defaults: bool = True, patterns: Sequence[str] = ()) -> None:
        self.defaults = defaults
        self.patterns: list[Pattern] = []
        self.problems: list[str] = []
        """Why all arguments are taken out: a sentence for each pattern that cannot be used, or for all of them."""
        if len(patterns) > MOST_PATTERNS:
            self.problems.append(
                f"All arguments are taken out: {len(patterns)} redaction patterns are more than {MOST_PATTERNS}."
            )
            return
        for text in patterns:
            try:
                self.patterns.append(Pattern(text))
            except ValueError as error:
                self.problems.append(
                    f"All arguments are taken out: the redaction pattern {text[:80]!r} cannot be used: {error}."
                )

    def apply(self, argv: bytes, arguments: list[bytes]) -> tuple[list[bytes], int]:
        """The arguments without their secrets, and how many values were taken out; `argv` are the arguments as they
        stand in memory, one NUL behind each."""
        if self.problems:
            return _take_out_all(arguments)
        count = 0
        if self.defaults and _HINTS.search(argv.lower()):
            arguments, count = _apply_defaults(arguments)
        if self.patterns:
            arguments, more = _apply_patterns(self.patterns, arguments)
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


def _apply_patterns(patterns: Sequence[Pattern], arguments: list[bytes]) -> tuple[list[bytes], int]:
    """All patterns look at the same text, so their order changes nothing. Where they have too much work with it, all
    of it is taken out."""
    work = Work(sum(map(len, arguments)) + len(arguments))
    try:
        spans = _find(patterns, arguments, work)
    except TooMuchWork:
        return _take_out_all(arguments)
    if not any(spans):
        return arguments, 0
    cleaned = [_replace(value, own) for value, own in zip(arguments, spans, strict=True)]
    return [value for value, _ in cleaned], sum(count for _, count in cleaned)


def _find(patterns: Sequence[Pattern], arguments: list[bytes], work: Work) -> list[list[tuple[int, int]]]:
    """What is to be taken out of each argument: matches in it, where ^ and $ mean its ends, and its parts of matches in
    the line, where a flag and its value can match as one."""
    spans: list[list[tuple[int, int]]] = [[] for _ in arguments]
    line = b" ".join(arguments)
    matches: list[tuple[int, int]] = []
    for pattern in patterns:
        if pattern.may_match(line, work):
            matches += pattern.spans(line, work)
            for value, own in zip(arguments, spans, strict=True):
                own += pattern.spans(value, work)
    across = _merge(matches)
    start = at = 0
    for value, own in zip(arguments, spans, strict=True):
        end = start + len(value)
        while at < len(across) and across[at][0] < end:
            first, last = across[at]
            if last > start:
                own.append((max(first, start) - start, min(last, end) - start))
            if last > end:
                break
            at += 1
        start = end + 1
    return spans


def _take_out_all(arguments: list[bytes]) -> tuple[list[bytes], int]:
    return [REPLACEMENT] * len(arguments), len(arguments)
