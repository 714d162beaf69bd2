"""What the control socket's requests do to the kernel and to the journal."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.record_ids import read_journal
from fixtures.recordings import Cgroup, Recording, temporary_directory

from podcorder_agent.cluster.losses import Losses
from podcorder_agent.control.client import ControlError
from podcorder_agent.interpreter.events import FileOpen, ProcessExec
from podcorder_agent.recorder import bpf_maps
from podcorder_crds import EventClass

EXEC, OPEN = 0, 4
Record = Callable[..., Recording]


def active(recording: Recording) -> set[str]:
    return {name for name, state in recording.client.health()["capabilities"].items() if state["state"] != "Off"}


def test_only_what_is_needed_is_attached(record: Record) -> None:
    """A capability is attached with its first need and detached with its last, and notes say so."""
    recording = record()
    assert active(recording) == set()
    assert list((recording.pins / "links").rglob("*")) == []
    recording.client.configure(0, {"events": ["exec"]})
    assert active(recording) == {"containers", "processes"}
    recording.client.configure(1, {"events": ["open"]})
    assert active(recording) >= {"files", "syscalls"}
    recording.client.configure(1, None)
    assert active(recording) == {"containers", "processes"}
    recording.client.configure(0, None)
    assert active(recording) == set()
    assert [path for path in (recording.pins / "links").rglob("*") if path.is_file()] == []
    recording.stop()
    notes = [note for note in read_journal(recording.journal).notes if note["note"] == "capabilities"]
    assert len(notes) == 4
    assert notes[1]["capabilities"]["files"]["rung"]


def test_pending_events_are_a_need(record: Record) -> None:
    """Holding new containers attaches what their classes need, without any slot."""
    recording = record()
    recording.client.pending(["exec"], 1, 1 << 20)
    assert "processes" in active(recording)
    recording.client.pending([], 0, 0)
    assert active(recording) == set()
    recording.stop()


def test_health_tells_what_is_being_lost(record: Record, workloads: Path) -> None:
    """As the node's state has it: of nothing while everything fits, of opens when the ring was full of them."""
    recording = record(ring_size=4096)
    recording.select()
    losses = Losses()
    for now in (1.0, 2.0):
        losses.note_health(recording.client.health(), now)
    assert (losses.find_losing(2.0), losses.is_full()) == ((), False)
    recording.run_undrained(workloads / "opens", "101", "/etc/passwd")
    losses.note_health(recording.client.health(), 3.0)
    assert EventClass.OPEN in losses.find_losing(3.0)
    recording.stop()


def test_requests_are_journaled_before_they_are_done(record: Record) -> None:
    """The journal has every request that changes what is recorded, with its sender's uid, and no other kind."""
    recording = record()
    recording.select(["exec"])
    recording.client.fact("pod", {"name": "web"})
    recording.client.ignore(os.getpid())
    recording.client.exclude(recording.cgroup.id)
    recording.client.health()
    recording.client.flush()
    recording.stop()
    requests = read_journal(recording.journal).requests
    assert [each["request"]["kind"] for each in requests] == [
        "configure",
        "select",
        "fact",
        "ignore",
        "exclude",
        "stop",
    ]
    assert {each["peer_uid"] for each in requests} == {os.getuid()}


def test_refused_request_leaves_no_trace(record: Record) -> None:
    """A bad network in a slot is refused with its name; neither the kernel nor the journal hears of it."""
    recording = record()
    with pytest.raises(ControlError, match=r"10\.0\.0\.0/40"):
        recording.client.configure(0, {"events": ["open"], "networks": [{"cidr": "10.0.0.0/40", "verdict": "include"}]})
    assert active(recording) == set()
    recording.stop()
    assert [each["request"]["kind"] for each in read_journal(recording.journal).requests] == ["stop"]


def test_cgroups_below_are_selected_too(record: Record) -> None:
    """Sub-cgroups that are there already, and those made afterwards, belong to the selected one."""
    recording = record()
    before = recording.cgroup.path / "before"
    before.mkdir()
    recording.select(["exec"])
    after = recording.cgroup.path / "after"
    after.mkdir()
    for where in (before, after):
        subprocess.run(["sh", "-c", f"echo 0 > {where}/cgroup.procs; exec true"], check=True)
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert found.classes[EXEC] == 2


def test_excluded_cgroup_is_silent(record: Record) -> None:
    """Nothing below an excluded cgroup is recorded any more."""
    recording = record()
    recording.select(["exec"])
    recording.cgroup.run("true")
    recording.client.exclude(recording.cgroup.id)
    recording.cgroup.run("true")
    recording.stop()
    assert read_journal(recording.journal).classes[EXEC] == 1


def test_what_happened_before_a_request_stands_before_it(record: Record) -> None:
    """Of a cgroup that is excluded, and of a slot that asks for less, all is delivered that was recorded until then."""
    recording = record()
    kinds = {each: {"events": ["exec"]} for each in ("Command", "Exec")}  # of the cgroup's first process, and of others
    for _ in range(5):
        recording.select(["exec"], kinds=kinds)
        recording.cgroup.run("true")
        recording.client.exclude(recording.cgroup.id)
        recording.select(["exec"], kinds=kinds)
        recording.cgroup.run("true")
        recording.client.configure(0, {"policy": "test", "events": ["exec"], "kinds": {}})
    recording.stop()
    assert len(recording.events(ProcessExec)) == read_journal(recording.journal).classes[EXEC] == 10


def test_ignored_process_is_silent_with_its_children(record: Record) -> None:
    """The halves themselves are left out by task, not by cgroup."""
    recording = record()
    recording.select(["exec"])
    shell = recording.cgroup.start(["sh"], stdin=subprocess.PIPE)
    assert shell.stdin is not None
    recording.client.flush()
    recording.client.ignore(shell.pid)
    shell.communicate("/bin/true; /bin/true\n")
    recording.cgroup.run("true")
    recording.stop()
    assert read_journal(recording.journal).classes[EXEC] == 2  # the shell's own, and the last one


def test_selection_of_a_cgroup_that_is_gone(record: Record) -> None:
    """A container may end before its selection arrives: the request counts, for what was held."""
    recording = record()
    gone = Cgroup(recording.name + "-gone")
    gone.remove()
    recording.client.configure(0, {"events": ["exec"]})
    reply = recording.client.select(gone.id, 0, "Container", {"path": "/" + gone.path.name})
    assert reply["cgroups"] == 0
    recording.stop()
    assert read_journal(recording.journal).requests[1]["request"]["cgroup_id"] == gone.id


def test_flush_is_behind_everything_before_it(record: Record, workloads: Path) -> None:
    """What ended before a flush is in the journal when the flush is answered."""
    recording = record()
    recording.select(["open"])
    for _ in range(5):
        before = read_journal(recording.journal).classes[OPEN]
        recording.cgroup.run(workloads / "opens", "1009", "/etc/hostname")
        recording.client.flush()
        assert read_journal(recording.journal).classes[OPEN] >= before + 1009
    recording.stop()


def test_slot_filters_reach_the_kernel(record: Record, workloads: Path) -> None:
    """A path that is left out is never generated, and a slot filled anew keeps nothing of the old list."""
    recording = record()
    recording.select(["open"], paths=[{"prefix": "/etc/hostname", "verdict": "include"}])
    recording.cgroup.run(workloads / "opens", "101", "/etc/passwd")
    recording.cgroup.run(workloads / "opens", "103", "/etc/hostname")
    recording.select(["open"], paths=[{"prefix": "/etc/passwd", "verdict": "include"}])
    recording.cgroup.run(workloads / "opens", "107", "/etc/passwd")
    recording.cgroup.run(workloads / "opens", "109", "/etc/hostname")
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert found.classes[OPEN] == 103 + 107


def test_full_disk_costs_nothing_the_ring_holds(workloads: Path) -> None:
    """While the disk is full the consumer stands still and the heart beats on; the gap is noted when space returns."""
    with temporary_directory() as name:
        journal = Path(name) / "journal"
        journal.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", journal], check=True)
        recording = Recording(Path(name))
        try:
            recording.select(["open"])
            recording.cgroup.run(workloads / "opens", "10007", "/etc/hostname")
            wait_until(lambda: recording.client.health()["journal"]["full"])
            with pytest.raises(ControlError, match="free some space"):
                recording.client.fact("pod", "x" * (1 << 20))
            state = bpf_maps.Map.open(recording.pins / "maps" / "state")
            first = state.lookup(bytes(4))
            wait_until(lambda: state.lookup(bytes(4)) != first)
            state.close()
            assert recording.client.health()["ring"]["used"] > 0
            subprocess.run(["mount", "-o", "remount,size=64m", journal], check=True)
            wait_until(lambda: not recording.client.health()["journal"]["full"])
            recording.stop()
            found = read_journal(journal)
            found.assert_law()
            assert found.classes[OPEN] >= 10007
            assert sum(found.counters["lost"][OPEN]) == 0
            assert [note["note"] for note in found.notes].count("full") == 1
        finally:
            recording.clean_up()
            subprocess.run(["umount", "-l", journal], check=True)


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_a_slot_in_use_is_configured_anew_without_a_gap(record: Record, workloads: Path) -> None:
    """While a slot goes back and forth between filters that all want a file, each open of it is recorded, once."""
    recording = record(ring_size=1 << 26)
    etc, file = "/etc/", "/etc/hostname"
    settings = [
        {"paths": [{"prefix": etc, "verdict": "include"}]},
        {"paths": [{"prefix": etc, "verdict": "exclude"}, {"prefix": file, "verdict": "include"}]},
        {"paths": []},
        {"paths": [{"prefix": file, "verdict": "include"}], "access": ["read"]},
        {"paths": [{"prefix": "/usr/", "verdict": "exclude"}]},
    ]
    recording.select(["open"], **settings[0])
    load = recording.cgroup.start([workloads / "opens", "500009", file])
    turns = 0
    while load.poll() is None:
        turns += 1
        recording.client.configure(0, {"policy": "test", "events": ["open"], **settings[turns % len(settings)]})
    assert load.returncode == 0
    assert turns > 2 * len(settings)
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert found.repeated == 0
    assert sum(found.counters["lost"][OPEN]) == 0
    opens = recording.events(FileOpen, lambda event: event.path == b"/etc/hostname")
    assert len(opens) == 500009
