"""The keyed digest by which a node's agent finds the command that somebody announced, without it being told."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

_NO_TEXT = dict.fromkeys(range(0xDC80, 0xDD00), "\N{REPLACEMENT CHARACTER}")
"""What the API server's JSON writes for each byte that is part of no character."""


def join_arguments(words: Iterable[str]) -> bytes:
    """A command and its arguments as they stand in a process's memory: each in UTF-8, one NUL behind it."""
    return b"".join(word.encode(errors="surrogatepass") + b"\0" for word in words)


def digest_command(key: bytes, argv: bytes) -> str:
    """64 hexadecimal digits: HMAC-SHA256 of a command as it stands in memory, with an installation's key.

    A command that is not all text has the digest of what the API server makes of it, so that both sides agree."""
    try:
        argv.decode()
    except UnicodeDecodeError:
        argv = argv.decode(errors="surrogateescape").translate(_NO_TEXT).encode()
    return hmac.new(key, argv, hashlib.sha256).hexdigest()
