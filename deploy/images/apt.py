"""Debian's archive, through apt with a state of its own: the machine's installed packages do not matter, nor its
architecture. Whose archive it is, the machine's own sources say; apt checks their signatures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime
from email.parser import HeaderParser
from email.utils import parsedate_to_datetime
from pathlib import Path

from images.commands import run
from images.locks import Pin

SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))


class Apt:
    """One architecture."""

    def __init__(self, directory: Path, architecture: str, sources: Path) -> None:
        """`directory` keeps the indexes from one build to the next."""
        self._architecture = architecture
        self._lists = directory / "state" / "lists"
        for each in (self._lists / "partial", directory / "cache" / "archives" / "partial"):
            each.mkdir(parents=True, exist_ok=True)
        status = directory / "status"
        status.touch()
        config = directory / "apt.conf"
        config.write_text(
            f'Dir::State "{directory}/state";\n'
            f'Dir::State::status "{status}";\n'
            f'Dir::Cache "{directory}/cache";\n'
            f'Dir::Etc::sourcelist "{sources}";\n'
            'Dir::Etc::sourceparts "/dev/null";\n'
            f'APT::Architecture "{self._architecture}";\n'
            f'APT::Architectures {{ "{self._architecture}"; }};\n'
            'APT::Sandbox::User "root";\n'
            'Acquire::Languages "none";\n'
        )
        self._environment = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C"}

    def update(self) -> None:
        """Read the indexes anew."""
        run("apt-get", "update", "-qq", "--error-on=any", env=self._environment)

    def offered(self, names: Iterable[str]) -> dict[str, list[Pin]]:
        """Each package's versions, the one that apt would take first."""
        shown = run("apt-cache", "show", *names, env=self._environment).decode()
        offered: dict[str, list[Pin]] = {}
        for paragraph in filter(None, shown.split("\n\n")):
            fields = HeaderParser().parsestr(paragraph)
            pin = Pin(self._architecture, fields["Package"], fields["Version"], fields["SHA256"])
            if pin not in offered.setdefault(pin.name, []):
                offered[pin.name].append(pin)
        return offered

    def download(self, pins: Iterable[Pin], directory: Path) -> None:
        """Put the packages' files there."""
        run(
            "apt-get", "download", "-qq", *(f"{p.name}={p.version}" for p in pins), cwd=directory, env=self._environment
        )

    def published(self) -> datetime:
        """When the newest of the indexes was published."""
        releases = [HeaderParser().parsestr(_without_signature(path)) for path in self._lists.glob("*InRelease")]
        return max(parsedate_to_datetime(release["Date"]) for release in releases)


def find_sources() -> Path:
    """The machine's own sources of Debian."""
    return next((path for path in SOURCES if path.exists()), SOURCES[-1])


def _without_signature(path: Path) -> str:
    return path.read_text().split("\n\n", 1)[1]
