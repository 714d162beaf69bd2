from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from fixtures.journals import BOOT_ID, record_open, ring
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cli.errors import OtlpUnreadable, RecordingMissing
from podcorder_agent.cli.rows import Row, from_event, show_time, to_json
from podcorder_agent.cli.sources import Journal, OtlpFile, newest_recording, parse_line
from podcorder_agent.delivery.jsonlines import JsonLines
from podcorder_agent.delivery.records import Encoder
from podcorder_agent.interpreter.events import Event, FileOpen, ProcessExec, RecordingGap
from podcorder_agent.interpreter.subjects import Container, Process, Session
from podcorder_agent.journal import FrameKind, Writer

SECOND = 10**9


def process() -> Process:
    session = Session(Container(7, "/podcorder/x", policy="everything"), 10, 1, id="ab" * 16)
    return Process(session, 1, 10, 1, b"/usr/bin/sh", "cd" * 8)


def lines(*events: Event) -> bytes:
    codec = JsonLines()
    encoder = Encoder(codec)
    preamble = codec.preamble({"host.name": "node"}, "podcorder", "1")
    return codec.wrap(preamble, [encoder.encode(each, encoder.observed(SECOND)) for each in events])


texts = st.binary(max_size=20) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass"))


@given(st.lists(texts, max_size=4), texts, st.integers(0, 2**63))
def test_a_row_is_the_same_from_the_journal_and_from_otlp(arguments: list[bytes], cwd: bytes, time: int) -> None:
    """What the interpreter tells and what its OTLP export tells are one row, whatever bytes the kernel had."""
    event = ProcessExec("1.2.3", time, process(), arguments=arguments, cwd=cwd, argc=len(arguments), interactive=False)
    (row,) = parse_line(lines(event))
    assert row == from_event(event)


def test_json_has_name_time_and_attributes() -> None:
    """`--output json` is one object a line: event_name, time, the attributes by name, bytes in base64."""
    event = FileOpen("1.2.3", 1_700_000_000 * SECOND + 5, process(), path=b"/tmp/\xff\n", access="read")
    text = to_json(from_event(event))
    assert "\n" not in text
    found = json.loads(text)
    assert found["event_name"] == "podcorder.file.open"
    assert found["time"] == "2023-11-14T22:13:20.000000005Z"
    assert base64.b64decode(found["file.path"]["bytes"]) == b"/tmp/\xff\n"
    assert found["process.pid"] == 10
    assert found["podcorder.session.id"] == "ab" * 16


def test_lone_surrogates_do_not_stop_the_output() -> None:
    """Whatever stands in an OTLP file can be printed as JSON in UTF-8."""
    line = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"podcorder.finding","timeUnixNano":"1","attributes":[{"key":"k","value":{"stringValue":"\\ud800"}}]}]}]}]}'  # noqa: E501
    (row,) = parse_line(line)
    to_json(row).encode()


def test_repeats_come_once(tmp_path: Path) -> None:
    """A record delivered twice, in one line or in two, is one row; records of others are left out."""
    gap, opened = RecordingGap("gap.1", 1), FileOpen("1.2.3", 2, process(), path=b"/a")
    foreign = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}}]}]}]}\n'
    path = tmp_path / "e.jsonl"
    path.write_bytes(lines(gap, opened) + foreign + b"\n" + lines(opened, gap, opened))
    assert [row.kind for row in OtlpFile(path).rows()] == ["recording.gap", "file.open"]


def test_a_line_still_being_written_waits(tmp_path: Path) -> None:
    """An unfinished last line is told of, and read once it is whole."""
    whole = lines(FileOpen("1.2.3", 2, process(), path=b"/a"))
    path = tmp_path / "e.jsonl"
    path.write_bytes(whole[:50])
    source = OtlpFile(path)
    assert list(source.rows()) == []
    assert source.damage == "50 bytes of an unfinished line at the end"
    path.write_bytes(whole)
    assert len(list(source.rows())) == 1


def test_a_journal_tells_what_was_withheld(tmp_path: Path) -> None:
    """What no policy asks for is not among the rows, and that is said."""
    settings = {"events": ["open"], "kinds": {"Container": {"events": ["open"]}}}
    with Writer(tmp_path, node="n", generation=1, boot_id=BOOT_ID) as writer:
        request = {"kind": "configure", "slot": 0, "settings": settings}
        writer.append(FrameKind.REQUEST, json.dumps({"number": 1, "peer_uid": 0, "request": request}).encode())
        writer.append(FrameKind.RECORDS, ring(record_open(sequence=1), record_open(sequence=2)))
    journal = Journal(tmp_path)
    assert list(journal.rows()) == []
    assert (journal.withheld, journal.damage) == (2, "")


@pytest.mark.parametrize("content", [b"root:x:0:0\n", b"{}\n", b'{"resourceLogs":1}\n', b"\xff\n", b"[" * 9999 + b"\n"])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no OTLP JSON lines is one sentence and an exit code."""
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(OtlpUnreadable, match="name another file"):
        list(OtlpFile(path).rows())
    with pytest.raises(OtlpUnreadable, match="No such file"):
        OtlpFile(tmp_path / "none")


def test_the_newest_recording_is_the_default(tmp_path: Path) -> None:
    """Without --journal the recording begun last is read, and where there is none that is said."""
    with pytest.raises(RecordingMissing, match="podcorder record"):
        newest_recording(tmp_path / "none")
    for name in ("20260102T000000Z-9", "20260101T000000Z-1"):
        (tmp_path / name).mkdir()
    assert newest_recording(tmp_path).name == "20260102T000000Z-9"


def test_times_beyond_the_calendar_are_shown() -> None:
    """No time stops the output."""
    assert show_time(2**200).startswith("@")
    assert to_json(Row("podcorder.finding", -1))
