"""debian.lock: what is written can be read, and what is committed is complete."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from images.locks import Lock, Pin
from images.recipes import ARCHITECTURES, RECIPES

LOCK = Path(__file__).parent.parent.parent.parent / "deploy" / "images" / "debian.lock"


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Time and pins survive, sorted by architecture and name."""
    pins = (Pin("arm64", "zlib1g", "1:1.2", "ab" * 32), Pin("amd64", "libc6", "2.36-9+deb12u1", "cd" * 32))
    time = datetime(2026, 11, 21, 2, 10, 46, tzinfo=UTC)
    Lock(time, pins).write(tmp_path / "lock")
    assert Lock.read(tmp_path / "lock") == Lock(time, tuple(sorted(pins)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", RECIPES)
def test_each_package_of_a_recipe_is_pinned(name: str, architecture: str) -> None:
    """The committed lock has every package of every image for each architecture, with a SHA-256."""
    packages = RECIPES[name].packages
    pins = Lock.read(LOCK).select(architecture, packages)
    assert tuple(pin.name for pin in pins) == packages
    assert {len(bytes.fromhex(pin.digest)) for pin in pins} == {32}
