"""The exporter between a real journal, a real control socket and a real HTTP receiver."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fixtures import receivers
from fixtures.journals import SECOND, make_frames, record_open, ring, segment_header, write_journal
from fixtures.receivers import Receiver, log_records, read_attribute
from fixtures.unprivileged_recorder import UnprivilegedRecorder

from podcorder_agent.control.client import ControlClient
from podcorder_agent.delivery.destinations import open_transport
from podcorder_agent.delivery.errors import DrainExpired
from podcorder_agent.delivery.exporter import Exporter
from podcorder_agent.delivery.senders import Stop
from podcorder_agent.delivery.settings import read_settings
from podcorder_agent.journal import FrameKind, read_checkpoint


def make_exporter(directory: Path, to: str, drain: float = 5.0) -> tuple[Exporter, Stop]:
    stop = Stop(drain)
    transport = open_transport(read_settings({}, to))
    control = ControlClient(directory / "control.sock", "exporter", timeout=2)
    return Exporter(directory, transport, stop, {}, control), stop


@contextmanager
def running(exporter: Exporter, stop: Stop) -> Iterator[None]:
    """The exporter's own loop in a thread, ended well."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            exporter.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.request()
        thread.join(20)
    assert not thread.is_alive()
    assert failures == []


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def opens(receiver: Receiver) -> dict[str, int]:
    """How often each open arrived, by record id."""
    names = {
        read_attribute(record, "podcorder.record.id")
        for _, _, request in receiver.seen
        for record in log_records(request)
        if record.event_name == "podcorder.file.open"
    }
    return {name: count for name, count in receiver.accepted.items() if name in names}


def test_everything_arrives_once_and_is_acknowledged(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """Opens written before and while the exporter runs arrive once; then the checkpoint is at the journal's end."""
    ids = recorder.opens(997)
    exporter, stop = make_exporter(recorder.directory, receiver.url)
    with running(exporter, stop):
        wait_for(lambda: len(opens(receiver)) == 997)
        ids |= recorder.opens(101)
        wait_for(lambda: len(opens(receiver)) == 1098)
    assert opens(receiver) == dict.fromkeys(ids, 1)
    checkpoint = read_checkpoint(recorder.directory)
    assert checkpoint is not None
    assert checkpoint.position == recorder.writer.position
    assert recorder.ignored == [os.getpid()]


def test_a_record_carries_its_session_and_the_resource(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """A record tells its process, session and container, and the resource tells node and boot."""
    recorder.opens(1)
    exporter, _ = make_exporter(recorder.directory, receiver.url)
    exporter.run(once=True)
    (request,) = [request for _, _, request in receiver.seen]
    resource = {each.key: each.value.string_value for each in request.resource_logs[0].resource.attributes}
    assert (resource["host.name"], resource["podcorder.boot.id"]) == ("node-1", "0123456789abcdef0123456789abcdef")
    (record,) = [each for each in log_records(request) if each.event_name == "podcorder.file.open"]
    assert read_attribute(record, "process.executable.path") == "/usr/bin/cat"
    assert read_attribute(record, "container.name") == "test"
    assert read_attribute(record, "podcorder.session.kind") == "Command"
    assert record.trace_id.hex() == read_attribute(record, "podcorder.session.id")
    assert record.body.string_value == "open read /etc/hosts"


def test_a_restarted_exporter_goes_on_where_it_was(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """What was acknowledged is not sent again, and what comes after still knows its session."""
    first = recorder.opens(101)
    make_exporter(recorder.directory, receiver.url)[0].run(once=True)
    second = recorder.opens(103)
    make_exporter(recorder.directory, receiver.url)[0].run(once=True)
    assert opens(receiver) == dict.fromkeys(first | second, 1)
    last = log_records(receiver.seen[-1][2])[-1]
    assert read_attribute(last, "process.executable.path") == "/usr/bin/cat"


def test_the_cursor_stays_until_the_receiver_has_taken_it(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """While the receiver answers 503 nothing is acknowledged; an exporter that ends then leaves it all to the next."""
    ids = recorder.opens(101)
    receiver.usual = receivers.refuse(503)
    exporter, stop = make_exporter(recorder.directory, receiver.url, drain=0.1)
    stop.request()
    with pytest.raises(DrainExpired):
        exporter.run()
    assert recorder.acknowledged == []
    receiver.usual = receivers.accept
    make_exporter(recorder.directory, receiver.url)[0].run(once=True)
    assert opens(receiver) == dict.fromkeys(ids, 1)


def test_delivery_goes_on_while_the_recorder_is_away(tmp_path: Path, receiver: Receiver) -> None:
    """Without a recorder records are delivered; when it is back it is told the position."""
    directory = tmp_path / "journal"
    with UnprivilegedRecorder(directory) as recorder:
        recorder.begin()
        ids = recorder.opens(101)
    exporter, stop = make_exporter(directory, receiver.url)
    with running(exporter, stop):
        wait_for(lambda: len(opens(receiver)) == 101)
        with UnprivilegedRecorder(directory) as recorder:
            wait_for(lambda: recorder.acknowledged)
    assert opens(receiver) == dict.fromkeys(ids, 1)


def test_rejected_records_become_a_gap(recorder: UnprivilegedRecorder, receiver: Receiver) -> None:
    """Generated = delivered + counted lost also where the receiver rejects: a gap of that count is delivered."""
    recorder.opens(101)
    receiver.script.append(receivers.accept_partly(7, "no room"))
    exporter, _ = make_exporter(recorder.directory, receiver.url)
    exporter.run(once=True)
    (gap,) = log_records(receiver.seen[-1][2])
    assert gap.event_name == "podcorder.recording.gap"
    assert read_attribute(gap, "podcorder.gap.reason") == "rejected_by_collector"
    assert read_attribute(gap, "podcorder.gap.count") == 7
    assert exporter.tally.lost.total() == 7
    assert len(recorder.acknowledged) == 1


def test_a_receiver_that_rejects_everything_does_not_make_gaps_for_ever(
    recorder: UnprivilegedRecorder, receiver: Receiver
) -> None:
    """A rejected gap of delivery's own makes no other gap."""
    recorder.opens(11)
    receiver.usual = lambda handler, request: receivers.accept_partly(len(log_records(request)))(handler, request)
    exporter, _ = make_exporter(recorder.directory, receiver.url)
    exporter.run(once=True)
    assert len(receiver.seen) == 2


def test_records_of_two_boots_have_two_resources(tmp_path: Path, receiver: Receiver) -> None:
    """A journal that spans a reboot goes out under both boots' ids."""
    segments = [
        make_frames(
            (FrameKind.RECORDS, ring(record_open(sequence=1, time=100 * SECOND))),
            header=segment_header(index, boot_id=boot * 32, generation=index),
        )
        for index, boot in ((1, "a"), (2, "b"))
    ]
    write_journal(tmp_path / "journal", *segments)
    make_exporter(tmp_path / "journal", receiver.url)[0].run(once=True)
    boots = {
        each.value.string_value: [record.event_name for record in log_records(request)]
        for _, _, request in receiver.seen
        for each in request.resource_logs[0].resource.attributes
        if each.key == "podcorder.boot.id"
    }
    assert "podcorder.file.open" in boots["a" * 32]
    assert "podcorder.file.open" in boots["b" * 32]


def test_damage_in_the_journal_is_a_gap(tmp_path: Path, receiver: Receiver) -> None:
    """A frame whose bytes were changed is passed over and told of, once, with no count; the others arrive."""
    frames = make_frames(*((FrameKind.RECORDS, ring(record_open(sequence=each))) for each in (1, 2, 3)))
    write_journal(tmp_path / "journal", frames)
    (segment,) = (tmp_path / "journal").glob("*.segment")
    data = bytearray(segment.read_bytes())
    data[frames[1].position.offset + 40] ^= 1
    segment.write_bytes(data)
    for _ in range(2):  # nobody acknowledges: the same is sent again, under the same ids
        make_exporter(tmp_path / "journal", receiver.url)[0].run(once=True)
    records = [each for _, _, request in receiver.seen for each in log_records(request)]
    gaps = [each for each in records if each.event_name == "podcorder.recording.gap"]
    assert [read_attribute(each, "podcorder.gap.reason") for each in gaps] == ["journal_damaged"] * 2
    assert not any(attribute.key == "podcorder.gap.count" for each in gaps for attribute in each.attributes)
    assert len({read_attribute(each, "podcorder.record.id") for each in gaps}) == 1
    assert sum(each.event_name == "podcorder.file.open" for each in records) == 4
