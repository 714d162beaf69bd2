"""What redaction takes out of command lines, and what it leaves."""

from __future__ import annotations

import time

import pytest

from podcorder_agent.interpreter import Redaction


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


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", "a{99999999999999999999}", "x" * 5000),
        *("(a+)+$", "(?:(x*)y)*", r"(\w\w|\w)+!", "(a?a?)+b", "(a{1,64})+b", "(?:ab|a|b)*!", "((?:a|ab){2,9}){4}"),
    ],
)
def test_a_bad_pattern_is_reported_and_not_used(pattern: str) -> None:
    """Patterns that do not compile, or could run for ever, are named in one sentence each."""
    own = Redaction(patterns=[pattern])
    assert len(own.problems) == 1
    assert redact(b"app", b"--password=x", redaction=own) == ([b"app", b"--password=[redacted]"], 1)


@pytest.mark.parametrize(
    "pattern",
    [r"(?i)--api-key[= ](\S+)", r"(?:a|b|[0-9])+", r"(?:[a-z]{1,24}-){0,3}key=(\S+)", r"(\d+\.){3}\d+", "a?b+c*"],
)
def test_a_pattern_that_repeats_no_choice_is_used(pattern: str) -> None:
    """Repetitions beside each other, of single characters, or few of them, are no reason to refuse."""
    assert Redaction(patterns=[pattern]).problems == []


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
def test_hostile_arguments_take_linear_time(unit: bytes) -> None:
    """The longest argv there can be is gone through in under two seconds, whatever it repeats."""
    value = b"secret mysql curl " + unit * (128 * 1024 // len(unit))
    begun = time.process_time()
    redact(b"sh", b"-c", value)
    assert time.process_time() - begun < 2
