"""Checkpoints: they move forward, survive, and are never guessed."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path

import pytest
from fixtures.journals import BOOT_ID, file_size_limit, open_writer
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.journal import (
    Checkpoint,
    CheckpointDamaged,
    FrameKind,
    JournalError,
    JournalFull,
    JournalMissing,
    JournalVersion,
    Position,
    PositionUnknown,
    read_checkpoint,
)


def test_a_checkpoint_is_what_was_acknowledged(tmp_path: Path) -> None:
    """The position and the state come back, and a later writer knows them."""
    assert read_checkpoint(tmp_path) is None
    with open_writer(tmp_path) as writer:
        assert writer.acknowledged == Position(0, 0)
        end = writer.append(FrameKind.RECORDS, b"x")
        writer.acknowledge(end, {"version": 1, "processes": {"1": "\u00e9\udc80"}})
        assert writer.acknowledged == end
    assert read_checkpoint(tmp_path) == Checkpoint(end, BOOT_ID, {"version": 1, "processes": {"1": "\u00e9\udc80"}})
    with open_writer(tmp_path, boot_id="ff" * 16) as writer:
        assert writer.acknowledged == end


def test_acknowledgements_only_move_forward(tmp_path: Path) -> None:
    """An older position changes nothing; one that was never reached is refused."""
    with open_writer(tmp_path) as writer:
        first, second = writer.append(FrameKind.RECORDS, b"x"), writer.append(FrameKind.RECORDS, b"y")
        writer.acknowledge(second, {"n": 2})
        writer.acknowledge(first, {"n": 1})
        assert writer.acknowledged == second
        with pytest.raises(PositionUnknown, match="start again from the checkpoint") as caught:
            writer.acknowledge(Position(second.segment, second.offset + 1), {"n": 3})
        assert caught.value.exit_code == 29
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert (found.position, found.state) == (second, {"n": 2})


def test_a_state_is_never_replaced_by_none(tmp_path: Path) -> None:
    """Without a state the checkpoint moves only as long as it has none: position and state always belong together."""
    with open_writer(tmp_path) as writer:
        ends = [writer.append(FrameKind.RECORDS, b"x") for _ in range(3)]
        writer.acknowledge(ends[0], None)
        assert read_checkpoint(tmp_path) == Checkpoint(ends[0], BOOT_ID, None)
        writer.acknowledge(ends[1], {"n": 1})
        writer.acknowledge(ends[2], None)
        assert read_checkpoint(tmp_path) == Checkpoint(ends[1], BOOT_ID, {"n": 1})
        assert writer.acknowledged == ends[2]


def test_a_refused_checkpoint_leaves_the_old_one(tmp_path: Path) -> None:
    """Where the disk refuses, the old checkpoint stands, nothing else is left behind, and it can be tried again."""
    with open_writer(tmp_path) as writer:
        ends = [writer.append(FrameKind.RECORDS, b"x") for _ in range(2)]
        writer.acknowledge(ends[0], {"n": 1})
        with file_size_limit(50), pytest.raises(JournalFull):
            writer.acknowledge(ends[1], {"n": "x" * 1000})
        found = read_checkpoint(tmp_path)
        assert found is not None
        assert found.position == ends[0] == writer.acknowledged
        assert sorted(os.listdir(tmp_path)) == ["0000000001.segment", "checkpoint.json", "lock"]
        writer.acknowledge(ends[1], {"n": 2})
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_another_version_stops_both_halves(tmp_path: Path) -> None:
    """A checkpoint of a newer release is neither read nor replaced."""
    path = tmp_path / "checkpoint.json"
    path.write_text('{"version": 2, "position": "1:72", "boot_id": "", "state": null}')
    with pytest.raises(JournalVersion, match="remove it"):
        read_checkpoint(tmp_path)
    with pytest.raises(JournalVersion, match="remove it"):
        open_writer(tmp_path)
    assert json.loads(path.read_text())["version"] == 2


def test_damage_is_told_to_the_reader_and_stops_no_recording(tmp_path: Path) -> None:
    """A damaged checkpoint is an error with its remedy for who reads it; to the writer nothing is delivered then."""
    (tmp_path / "checkpoint.json").write_bytes(b'{"version": 1, "position": "1')
    with pytest.raises(CheckpointDamaged, match="remove it to have the journal delivered anew") as caught:
        read_checkpoint(tmp_path)
    assert caught.value.exit_code == 28
    with open_writer(tmp_path) as writer:
        assert writer.acknowledged == Position(0, 0)


@given(
    st.one_of(
        st.binary(max_size=80),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["version", "position", "boot_id", "state"]), inner, max_size=4)
            ),
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_no_bytes_leak_an_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever a checkpoint's file holds, reading it gives a checkpoint or the journal's own error."""
    directory = tmp_path_factory.mktemp("checkpoint")
    (directory / "checkpoint.json").write_bytes(content)
    with pytest.raises(JournalError):
        read_checkpoint(directory)
    (directory / "checkpoint.json").unlink()
    directory.rmdir()


def test_a_missing_journal_is_no_checkpoint_of_none(tmp_path: Path) -> None:
    """Where there is no journal at all, that is said."""
    with pytest.raises(JournalMissing):
        read_checkpoint(tmp_path / "none")
