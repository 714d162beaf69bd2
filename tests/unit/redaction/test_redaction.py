"""What redaction takes out of command lines, and what it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from podcorder_redaction import Redaction
from podcorder_redaction.patterns import MOST_PATTERNS


def redact(*arguments: bytes, redaction: Redaction | None = None) -> tuple[list[bytes], int]:
    argv = b"".join(each + b"\0" for each in arguments)
    return (redaction or Redaction()).apply(argv, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((b"app", b"--password", b"hunter2"), [b"app", b"--password", b"[redacted]"]),
        ((b"app", b"--password=hunter2"), [b"app", b"--password=[redacted]"]),
        ((b"app", b"-token", b"hunter2", b"x"), [b"app", b"-token", b"[redacted]", b"x"]),
        ((b"app", b"--client-secret", b"hunter2"), [b"app", b"--client-secret", b"[redacted]"]),
        ((b"app", b"--API-KEY=hunter2"), [b"app", b"--API-KEY=[redacted]"]),
        ((b"env", b"DB_PASSWORD=hunter2 with spaces", b"ls"), [b"env", b"DB_PASSWORD=[redacted]", b"ls"]),
        ((b"env", b"AWS_SECRET_ACCESS_KEY=abc/def+g"), [b"env", b"AWS_SECRET_ACCESS_KEY=[redacted]"]),
        ((b"env", b"PGPASSWORD=x"), [b"env", b"PGPASSWORD=[redacted]"]),
        ((b"sh", b"-c", b"PASSWORD=x ls -l /tmp"), [b"sh", b"-c", b"PASSWORD=[redacted] ls -l /tmp"]),
        ((b"sh", b"-c", b"export GH_TOKEN='a b'; ls"), [b"sh", b"-c", b"export GH_TOKEN=[redacted]; ls"]),
        ((b"bash", b"-lc", b"app --password s3 --user u"), [b"bash", b"-lc", b"app --password [redacted] --user u"]),
        (
            (b"sh", b"-c", b'curl -H "Authorization: Bearer abcdefgh123" http://x/'),
            [b"sh", b"-c", b'curl -H "Authorization: Bearer [redacted]" http://x/'],
        ),
        ((b"curl", b"-H", b"Authorization: Basic dTpw"), [b"curl", b"-H", b"Authorization: Basic [redacted]"]),
        ((b"curl", b"-H", b"X-Api-Key: abc"), [b"curl", b"-H", b"X-Api-Key: [redacted]"]),
        ((b"curl", b"-u", b"bob:hunter2", b"http://x/"), [b"curl", b"-u", b"bob:[redacted]", b"http://x/"]),
        ((b"git", b"clone", b"https://bob:p%40ss@host/r"), [b"git", b"clone", b"https://bob:[redacted]@host/r"]),
        ((b"psql", b"postgres://bob:a:b@c@host/db"), [b"psql", b"postgres://bob:[redacted]@host/db"]),
        ((b"aws", b"x", b"AKIAIOSFODNN7EXAMPLE"), [b"aws", b"x", b"[redacted]"]),
        ((b"/usr/bin/mysql", b"-uroot", b"-phunter2", b"db"), [b"/usr/bin/mysql", b"-uroot", b"-p[redacted]", b"db"]),
        ((b"sh", b"-c", b"mysql -u root -phunter2 db"), [b"sh", b"-c", b"mysql -u root -p[redacted] db"]),
        ((b"sshpass", b"-p", b"hunter2", b"ssh", b"h"), [b"sshpass", b"-p", b"[redacted]", b"ssh", b"h"]),
        ((b"openssl", b"x", b"-passin", b"pass:hunter2"), [b"openssl", b"x", b"-passin", b"pass:[redacted]"]),
        ((b"curl", b"-d", b'{"password": "a b", "n": 1}'), [b"curl", b"-d", b'{"password": [redacted], "n": 1}']),
        ((b"kubectl", b"--from-literal=token=abc"), [b"kubectl", b"--from-literal=token=[redacted]"]),
        ((b"app", b"ghp_0123456789abcdefghij0123456789abcdef"), [b"app", b"[redacted]"]),
    ],
)
def test_secrets_are_taken_out_and_the_rest_stays(arguments: tuple[bytes, ...], expected: list[bytes]) -> None:
    """The defaults replace the secret alone, in separate arguments, in one, and inside shell code."""
    assert redact(*arguments) == (expected, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        (b"ls", b"-l", b"/etc/passwd"),
        (b"app", b"--password-file", b"/run/secrets/db"),
        (b"app", b"--token-ttl=5m", b"--max-tokens=3"),
        (b"env", b"COMPASS=north", b"BYPASS=1", b"MAX_TOKENS=100"),
        (b"sh", b"-c", b"cd $PWD && make passes"),
        (b"app", b"--password", b"--verbose"),
        (b"app", b"--password"),
        (b"app", b"--password="),
        (b"cp", b"-p", b"a", b"b"),
        (b"kubectl", b"get", b"secret", b"db", b"-o", b"yaml"),
        (b"curl", b"https://example.org:8443/a@b"),
        (b"ssh-keygen", b"-t", b"ed25519", b"-f", b"key"),
        (b"echo", b"[redacted]", b"[truncated]", b"keys of the [redacted] kingdom"),
        (b"printf", b"\xff\xfe\n\x1b[31m"),
    ],
)
def test_what_is_no_secret_comes_out_verbatim(arguments: tuple[bytes, ...]) -> None:
    """Names that only look like secrets, files that hold them, and words like [truncated] are left alone."""
    assert redact(*arguments) == (list(arguments), 0)


def test_a_pattern_replaces_its_first_group() -> None:
    """A user's pattern is applied to the joined line too, so a flag and its value match as one."""
    own = Redaction(defaults=False, patterns=[r"(?i)--pin[= ](\S+)"])
    assert redact(b"app", b"--pin", b"1234", b"--PIN=99", redaction=own) == (
        [b"app", b"--pin", b"[redacted]", b"--PIN=[redacted]"],
        2,
    )


def test_a_pattern_without_group_replaces_the_match() -> None:
    """Anchors mean the ends of one argument."""
    own = Redaction(patterns=[r"^sk-\w+$"])
    assert redact(b"app", b"sk-abc", b"x sk-abc", redaction=own) == ([b"app", b"[redacted]", b"x sk-abc"], 1)


def test_a_long_secret_is_taken_out_whole() -> None:
    """A match at the end of a window goes on to the end of the word."""
    own = Redaction(defaults=False, patterns=[r"pin:(\S+)"])
    value = b"a " * 1000 + b"pin:" + b"7" * 9000 + b" tail"
    assert redact(b"app", value, redaction=own) == ([b"app", b"a " * 1000 + b"pin:[redacted] tail"], 1)


def test_without_the_last_line_break_a_value_is_searched_too() -> None:
    """`$` matches before it, as an argument of a shell often has one."""
    own = Redaction(defaults=False, patterns=[r"^sk-\w+$"])
    assert redact(b"app", b"sk-abc\n", b"x", redaction=own) == ([b"app", b"[redacted]\n", b"x"], 1)


def test_bytes_that_are_no_text_are_matched_one_by_one() -> None:
    """A secret does not get away by a byte that no UTF-8 has."""
    own = Redaction(defaults=False, patterns=[r"pin:(\S+)", "wörd"])
    assert redact(b"pin:a\xff\xfeb c", "ein wörd".encode(), redaction=own) == (
        [b"pin:[redacted] c", b"ein [redacted]"],
        2,
    )


@pytest.mark.parametrize("pattern", ["(", "(?=a)", "x" * 5000, "(a{1000}){9}", "a{999}" * 3, "\ud800("])
def test_where_a_pattern_cannot_be_used_all_arguments_go(pattern: str) -> None:
    """Nothing leaks for a pattern that the engine refuses; one sentence names it."""
    own = Redaction(patterns=["abc", pattern])
    assert len(own.problems) == 1
    assert redact(b"app", b"-v", redaction=own) == ([b"[redacted]", b"[redacted]"], 2)


def test_where_there_are_too_many_patterns_all_arguments_go() -> None:
    """No policy's rules push out another's: all are applied, or nothing of the arguments is exported."""
    most = Redaction(patterns=[f"rule{each}" for each in range(MOST_PATTERNS)])
    assert redact(b"app", b"rule7 " * 20, redaction=most) == ([b"app", b"[redacted] " * 20], 20)
    beyond = Redaction(patterns=[f"rule{each}" for each in range(MOST_PATTERNS + 1)])
    assert len(beyond.problems) == 1
    assert redact(b"app", b"-v", redaction=beyond) == ([b"[redacted]", b"[redacted]"], 2)


def test_the_order_of_patterns_changes_nothing() -> None:
    """None sees what another has put in: patterns that match in `[redacted]` do not make it grow."""
    patterns = ["e", "[a-e]", "secret (\\w+)", "d?e", "(?:d|e)+"]
    found = [redact(b"secret", b"word", redaction=Redaction(False, each)) for each in (patterns, patterns[::-1])]
    assert found[0] == found[1] == ([b"s[redacted]r[redacted]t", b"[redacted]"], 3)


def test_what_the_defaults_took_out_is_no_value_again() -> None:
    """A pattern for the same value neither counts it twice nor spares the values beside it."""
    own = Redaction(patterns=[r"--password=(\S+)", r"--pin=(\S+)"])
    assert redact(b"sh", b"-c", b"a --password=x --pin=1", redaction=own) == (
        [b"sh", b"-c", b"a --password=[redacted] --pin=[redacted]"],
        2,
    )


def test_where_the_patterns_take_too_long_all_arguments_go() -> None:
    """A pattern that looks at all the rest for each byte is stopped, and nothing that it might have found leaks."""
    own = Redaction(defaults=False, patterns=["(?s).*b|a"])
    assert redact(b"app", b"a" * 65536, redaction=own) == ([b"[redacted]", b"[redacted]"], 2)
    assert redact(b"xyz", b"a" * 300, redaction=own) == ([b"xyz", b"[redacted]"], 1)


@pytest.mark.parametrize(
    "unit",
    [
        b"password",
        b"token=",
        b"-a",
        b"'-'",
        b" --",
        b"://a:",
        b"eyj-",
        b"mysql ",
        b"authorization:",
        b"a-",
        b'"\\',
        b"key ",
    ],
)
def test_the_defaults_take_linear_time(unit: bytes) -> None:
    """Eight times the text takes some eight times as long, whatever it repeats; quadratic would be 64 times."""
    assert_linear(Redaction(), lambda size: [b"sh", b"-c", b"secret mysql curl " + unit * (size // len(unit))])


HOSTILE_PATTERNS = (
    *("[a-z]*[a-z]*[a-z]*[a-z]*=", "(a+)+$", "(?:(x*)y)*", r"(\w\w|\w)+!", "(a?a?)+b", "((a{1,50}){1,10})+b"),
    *("(?s).*b|a", "[ab]*a[ab]{500}c", "[ab]*a[ab]{15}", "(.*)(.*)(.*)(.*)(.*)[^a]", "a??|b", "(?i)([a-z]+)*\\d"),
)


@pytest.mark.parametrize(
    "make",
    [
        lambda size: [b"a" * size],
        lambda size: [b"ab" * (size // 2)],
        lambda size: [b"abbaababbbabaa" * (size // 14)],
        lambda size: [b"a"] * (size // 2),
        lambda size: [b"a b=a\n" * (size // 6)],
    ],
    ids=["one letter", "two letters", "a mixture", "many arguments", "lines"],
)
@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS)
def test_patterns_take_linear_time(pattern: str, make: Callable[[int], list[bytes]]) -> None:
    """Whatever users write and whatever is run, time grows as the command line does."""
    assert_linear(Redaction(defaults=False, patterns=[pattern]), make)


def assert_linear(redaction: Redaction, make: Callable[[int], list[bytes]]) -> None:
    """From 8 to 64 KiB. Below some milliseconds there is the step from one linear way of RE2 to a slower one."""
    small, large = (min(_time(redaction, make(size)) for _ in range(2)) for size in (8 << 10, 64 << 10))
    assert large < 24 * max(small, 0.002)


def _time(redaction: Redaction, arguments: list[bytes]) -> float:
    begun = time.process_time()
    redact(*arguments, redaction=redaction)
    return time.process_time() - begun
