"""apt's sources for suites that this machine itself does not use: from the archive that its own sources name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from images.apt import find_sources
from images.errors import CommandFailed

SECURITY = "-security"
"""How the suites end that lie in an archive of their own."""


def write_sources(suites: Iterable[str], path: Path) -> None:
    """Write apt's sources of `suites`; raises CommandFailed where the machine's own are not in the newer format."""
    stanzas = list(_read_stanzas(find_sources()))
    texts = []
    for suite in suites:
        own = _choose(stanzas, suite)
        # Old suites, and mirrors that are behind, are past the date to which they are valid; they stay signed.
        fields = {"Types": "deb", "URIs": own["URIs"], "Suites": suite, "Components": "main", "Check-Valid-Until": "no"}
        if own["Signed-By"]:
            fields["Signed-By"] = own["Signed-By"]
        texts.append("".join(f"{name}: {value}\n" for name, value in fields.items()))
    path.write_text("\n".join(texts))


def _choose(stanzas: list[Message], suite: str) -> Message:
    for each in stanzas:
        if any(own.endswith(SECURITY) == suite.endswith(SECURITY) for own in each["Suites"].split()):
            return each
    raise CommandFailed(f"{find_sources()} names no archive for {suite}: give it one as deb822 (man sources.list).")


def _read_stanzas(path: Path) -> Iterator[Message]:
    """A file of the older format has none."""
    lines = (line for line in path.read_text().splitlines() if not line.startswith("#"))
    for text in "\n".join(lines).split("\n\n"):
        found = HeaderParser().parsestr(text.strip())
        if found["URIs"] and found["Suites"]:
            yield found
