"""The journal on real file systems: full ones, read-only ones, and ones that the user may not read. Needs root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fixtures.journals import open_writer, read_all

from podcorder_agent.journal import FrameKind, JournalFull, JournalReadOnly, Limits, Reader, read_checkpoint

NOBODY = 65534


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "podcorder-test", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_full_disk_loses_nothing_that_was_written(disk: Path) -> None:
    """On a full disk each append fails whole and harms no reader; once there is space it goes on as if nothing was."""
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(300_000))
    with open_writer(disk / "journal") as writer, Reader(disk / "journal") as reader:
        with suppress(JournalFull):
            for written in range(1000):
                writer.append(FrameKind.RECORDS, bytes([written % 256]) * 10_007)
        end = writer.position
        for _ in range(3):
            with pytest.raises(JournalFull, match="free some space"):
                writer.append(FrameKind.RECORDS, bytes(10_007))
            with pytest.raises(JournalFull):
                writer.acknowledge(end, {"state": "x" * 50_000})
        assert writer.position == end
        assert len(list(reader.read())) == written > 10
        ballast.unlink()
        writer.append(FrameKind.NOTE, b'{"note":"full"}')
        writer.append(FrameKind.RECORDS, bytes(10_007))
        assert [frame.kind for frame in reader.read()] == [FrameKind.NOTE, FrameKind.RECORDS]
        writer.acknowledge(writer.position, {"state": 1})
        writer.sync()
        assert reader.rejected == 0
    assert len(read_all(disk / "journal")) == written + 2
    checkpoint = read_checkpoint(disk / "journal")
    assert checkpoint is not None
    assert checkpoint.state == {"state": 1}


def test_a_cap_below_the_disk_is_never_full(disk: Path) -> None:
    """A journal whose cap and one segment fit on its disk never meets the disk's end."""
    limits = Limits(segment_bytes=100_000, journal_bytes=700_000)
    with open_writer(disk, limits=limits) as writer:
        for _ in range(300):
            writer.append(FrameKind.RECORDS, bytes(10_007))


def test_a_read_only_disk_is_said_and_can_be_read(disk: Path) -> None:
    """A writer refuses a read-only file system with its remedy; a reader does not mind."""
    with open_writer(disk / "journal") as writer:
        writer.append(FrameKind.RECORDS, b"x")
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for directory in (disk / "journal", disk / "new"):
        with pytest.raises(JournalReadOnly, match="remount it, or name another directory") as caught:
            open_writer(directory)
        assert caught.value.exit_code == 23
    assert len(read_all(disk / "journal")) == 1


READ_AS_NOBODY = """
import os, sys
from podcorder_agent.journal import *
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(65534)
try:
    print(len(list(Reader(sys.argv[1]).read())))
except JournalError as error:
    sys.exit(error.exit_code)
"""


def test_only_the_group_may_read(disk: Path) -> None:
    """A user of the group reads the journal and cannot write; any other is told that it may not."""
    with open_writer(disk / "journal", group=4242) as writer:
        writer.append(FrameKind.RECORDS, b"x")
        writer.acknowledge(writer.position, {})
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in ((disk / "journal"), *(disk / "journal").iterdir())}
    assert owners == {(os.getuid(), 4242)} == {(0, 4242)}
    for group, expected in ((4242, 0), (NOBODY, 27)):
        command = [sys.executable, "-c", READ_AS_NOBODY, "journal", str(group)]
        outcome = subprocess.run(command, cwd=disk, stdout=subprocess.PIPE, text=True, check=False)
        assert outcome.returncode == expected
        assert outcome.stdout.strip() == ("" if expected else "1")
