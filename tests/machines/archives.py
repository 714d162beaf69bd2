"""Debian packages of any suite and architecture, unpacked without being installed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from machines.suites import write_sources

from images.apt import Apt
from images.commands import run

MERGED = ("bin", "lib", "lib64", "sbin")
"""Directories that are links into usr/ on a Debian of today."""


class Archive(Apt):
    """Suites of Debian for one architecture, from where this machine has its own. All raise CommandFailed."""

    def __init__(self, cache: Path, architecture: str, suites: tuple[str, ...]) -> None:
        """`cache` keeps the indexes; the first of `suites` names them."""
        directory = cache / f"apt-{suites[0]}-{architecture}"
        directory.mkdir(parents=True, exist_ok=True)
        write_sources(suites, directory / "debian.sources")
        super().__init__(directory, architecture, directory / "debian.sources")

    def depended_on(self, name: str) -> list[str]:
        """The packages that this one depends on, itself left out."""
        lines = run("apt-cache", "depends", "--important", name, env=self._environment).decode().splitlines()
        return [line.partition("Depends: ")[2] for line in lines if line.strip().startswith("Depends: ")]

    def unpack(self, names: Iterable[str], root: Path) -> None:
        """Unpack these packages, each in its newest version."""
        found = self.offered(names)
        with TemporaryDirectory() as directory:
            self.download((pins[0] for pins in found.values()), Path(directory))
            _unpack_files(Path(directory), root)

    def unpack_all(self, names: Iterable[str], root: Path) -> None:
        """Unpack these packages and all that they depend on."""
        with TemporaryDirectory() as directory:
            (Path(directory) / "partial").mkdir()
            run(
                *("apt-get", "install", "--yes", "-qq", "--download-only", "--no-install-recommends"),
                *("-o", f"Dir::Cache::Archives={directory}", *names),
                env=self._environment,
            )
            _unpack_files(Path(directory), root)


def _unpack_files(directory: Path, root: Path) -> None:
    for each in MERGED:
        (root / "usr" / each).mkdir(parents=True)
        (root / each).symlink_to(f"usr/{each}")
    for package in sorted(directory.glob("*.deb")):
        files = run("dpkg-deb", "--fsys-tarfile", package)
        run("tar", "--extract", "--keep-directory-symlink", "--directory", root, data=files)
