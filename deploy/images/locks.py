"""debian.lock: the Debian packages of the images, pinned by version and digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_HEADER = "# The Debian packages of the images; `make pin-images` writes this file.\n"


@dataclass(frozen=True, slots=True, order=True)
class Pin:
    """One package for one architecture."""

    architecture: str
    name: str
    version: str
    digest: str
    """SHA-256 of the .deb file, in hex."""


@dataclass(frozen=True, slots=True)
class Lock:
    time: datetime
    """When Debian published the newest index that the versions are from; the time of all files in the images."""
    pins: tuple[Pin, ...]

    def select(self, architecture: str, names: tuple[str, ...]) -> list[Pin]:
        """The pins of these packages, in their order; raises KeyError."""
        found = {pin.name: pin for pin in self.pins if pin.architecture == architecture}
        return [found[name] for name in names]

    @classmethod
    def read(cls, path: Path) -> Lock:
        """Raises ValueError where the file is not of this form."""
        lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
        (label, time), *pins = lines
        if label != "time":
            raise ValueError(f"{path} does not begin with the time: run make pin-images.")
        return cls(datetime.fromisoformat(time), tuple(Pin(*fields) for fields in pins))

    def write(self, path: Path) -> None:
        time = self.time.astimezone(UTC).isoformat()
        pins = [f"{pin.architecture} {pin.name} {pin.version} {pin.digest}\n" for pin in sorted(self.pins)]
        path.write_text("".join((_HEADER, f"time {time}\n", *pins)))
