"""OTLP JSON lines in a file."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
from fixtures.event_samples import make_open, make_process
from fixtures.journals import file_size_limit

from podcorder_agent.delivery.errors import FileUnusable
from podcorder_agent.delivery.file import FileTransport
from podcorder_agent.delivery.records import Encoder
from podcorder_agent.delivery.transports import SendFailed, Verdict


def make_line(transport: FileTransport, first: int, count: int = 3) -> bytes:
    encoder, process = Encoder(transport.codec), make_process()
    records = [
        encoder.encode(make_open(number, process), encoder.observed(1)) for number in range(first, first + count)
    ]
    return transport.codec.wrap(transport.codec.preamble({}, "podcorder", "1"), records)


def read_ids(path: Path) -> list[str]:
    return [
        record["attributes"][0]["value"]["stringValue"]
        for line in path.read_bytes().splitlines()
        for record in json.loads(line)["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
    ]


def test_lines_are_appended(tmp_path: Path) -> None:
    """Each request is a line, behind those of earlier runs, readable by the owner alone."""
    path = tmp_path / "out.jsonl"
    for first in (0, 3):
        transport = FileTransport(path)
        transport.send(make_line(transport, first))
        transport.close()
    assert read_ids(path) == [f"f00dfeedf00dfeed.0.{number}" for number in range(6)]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [1, 5, 16, 17, 100, -1])
def test_a_torn_line_is_cut(tmp_path: Path, kept: int) -> None:
    """What a crash left of a line is cut off at the next start; the lines before it stay."""
    path = tmp_path / "out.jsonl"
    transport = FileTransport(path)
    whole = make_line(transport, 0)
    transport.send(whole)
    transport.close()
    path.write_bytes(whole + whole[:kept])
    transport = FileTransport(path)
    assert path.read_bytes() == whole
    transport.send(make_line(transport, 3))
    assert len(read_ids(path)) == 6


@pytest.mark.parametrize("content", [b"root:x:0:0\n", b"{}", b'{"resourceLogs":[]}\nand some notes'])
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    """A file that does not hold OTLP JSON lines is refused, and not a byte of it changes."""
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(FileUnusable):
        FileTransport(path)
    assert path.read_bytes() == content


def test_a_directory_or_a_device_is_refused(tmp_path: Path) -> None:
    """Only a regular file will do."""
    for path in (tmp_path, Path("/dev/null"), tmp_path / "no" / "such"):
        with pytest.raises(FileUnusable) as refused:
            FileTransport(path)
        assert str(path) in str(refused.value)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """A write that the disk refuses is taken back, to be tried again."""
    path = tmp_path / "out.jsonl"
    transport = FileTransport(path)
    line = make_line(transport, 0)
    transport.send(line)
    with file_size_limit(len(line) + 100), pytest.raises(SendFailed) as failed:
        transport.send(make_line(transport, 3))
    assert failed.value.verdict is Verdict.RETRY
    assert path.read_bytes() == line
    transport.send(make_line(transport, 3))
    assert len(read_ids(path)) == 6
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
