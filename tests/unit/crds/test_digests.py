"""The digest of a command, which two processes must reckon alike."""

from __future__ import annotations

import pytest

from podcorder_crds.digests import digest_command, join_arguments

KEY = bytes(range(32))


def test_known_digest() -> None:
    """The digest is HMAC-SHA256 over the words, each with a NUL behind it: `printf 'ls\\0-l\\0' | openssl dgst ...`."""
    assert digest_command(KEY, b"ls\0-l\0") == "c7a898b2291c70b88a7d4a7905f60864b75f70cf405382d689e71a530b2a33f6"


def test_words_are_told_apart() -> None:
    """Words that read the same when joined by spaces, empty ones included, have different digests."""
    commands = [("sh", "-c", "a b"), ("sh", "-c", "a", "b"), ("sh", "-c", "a b", ""), ("sh -c a b",)]
    assert len({digest_command(KEY, join_arguments(words)) for words in commands}) == len(commands)


def test_key_matters() -> None:
    """Another installation's digest of the same command is another one."""
    argv = join_arguments(["ls"])
    assert digest_command(KEY, argv) != digest_command(bytes(32), argv)


@pytest.mark.parametrize(
    ("in_memory", "in_json"),
    [
        (b"\xff", "\ufffd"),
        (b"a\xe2\x82b", "a\ufffd\ufffdb"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        ("héllo \U0001f600".encode(), "héllo \U0001f600"),
    ],
)
def test_what_is_not_text(in_memory: bytes, in_json: str) -> None:
    """A command that is not UTF-8 has the digest of the text that Go's JSON makes of it: U+FFFD for each such byte."""
    assert digest_command(KEY, in_memory + b"\0") == digest_command(KEY, join_arguments([in_json]))
