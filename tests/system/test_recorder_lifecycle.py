"""A recorder from its start to its end: privileges, takeovers, stops, and who is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fixtures.processes import read_resident
from fixtures.record_ids import read_journal
from fixtures.recordings import Recording, mount_bpffs

from podcorder_agent.interpreter.events import RecordingGap
from podcorder_agent.recorder import bpf_maps
from podcorder_agent.recorder.loaders import HANDLERS_MAPS
from podcorder_agent.recorder.pins import Pins
from podcorder_agent.recorder.privileges import KEPT

EXEC, EXIT, OPEN = 0, 3, 4
Record = Callable[..., Recording]


def end(recording: Recording) -> None:
    """As an upgrade or a person would end it: everything stays pinned."""
    recording.recorder.send_signal(signal.SIGTERM)
    assert recording.recorder.wait(10) == 0
    recording.client.close()


def refuse(journal: Path, pins: Path, *arguments: str, preparation: Sequence[str] = ()) -> tuple[int, str]:
    """Exit code and last words of a recorder that must not start."""
    command = [
        *preparation,
        sys.executable,
        "-m",
        "podcorder_agent.recorder",
        "--journal",
        str(journal),
        "--pins",
        str(pins),
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr.strip()


def status(recording: Recording) -> dict[str, str]:
    lines = Path(f"/proc/{recording.recorder.pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_recorder_keeps_two_capabilities_and_a_filter(record: Record) -> None:
    """It loads, attaches and records with CAP_BPF and CAP_PERFMON alone, every thread of it behind its filter."""
    recording = record()
    recording.select(["exec", "exec_failed", "open", "open_failed"])
    recording.cgroup.run("true")
    recording.client.flush()
    time.sleep(1.1)  # the sync thread begins with the first sync
    for task in Path(f"/proc/{recording.recorder.pid}/task").iterdir():
        lines = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        assert {int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {KEPT}
        assert int(lines["CapInh"], 16) == int(lines["CapAmb"], 16) == 0
        assert (lines["NoNewPrivs"], lines["Seccomp"]) == ("1", "2")
    states = recording.client.health()["capabilities"]
    assert {state["state"] for name, state in states.items() if name in ("processes", "syscalls", "files")} == {
        "Active"
    }
    recording.stop()


def test_stop_with_unpin_writes_final_counters(record: Record, workloads: Path) -> None:
    """After the closing note nothing is left in the kernel, and the counters account for every record."""
    recording = record()
    recording.select()
    recording.cgroup.run(workloads / "opens", "10007", "/etc/hostname")
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert found.classes[OPEN] >= 10007
    assert found.repeated == 0
    assert found.notes[0]["note"] == "started"
    assert found.notes[-1] == {"note": "stopped", "unpinned": True}
    assert not recording.pins.exists()


def test_sigterm_leaves_the_programs_at_work(record: Record, workloads: Path) -> None:
    """What happens between a stop and the next start is in the journal too, under the same generation."""
    recording = record()
    recording.select(["open"])
    states = recording.client.health()["capabilities"]
    end(recording)
    recording.cgroup.run(workloads / "opens", "1009", "/etc/hostname")
    recording.start_recorder()
    assert recording.ready["resumed"]
    assert recording.ready["capabilities"] == states
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert found.classes[OPEN] >= 1009
    assert len(found.generations) == 1
    assert [note["note"] for note in found.notes if note["note"] != "capabilities"] == [
        "started", "stopped", "resumed", "stopped",
    ]  # fmt: skip


def test_kill_loses_nothing_the_ring_holds(record: Record, workloads: Path) -> None:
    """kill -9 at any moment under load: each record is journaled at least once, or counted."""
    recording = record(ring_size=1 << 24)
    recording.select(["open"])
    load = recording.cgroup.start([workloads / "opens", "200003", "/etc/hostname"])
    for delay in (0.01, 0.003, 0.05, 0.02, 0.007):
        time.sleep(delay)  # any moment will do
        recording.recorder.kill()
        recording.recorder.wait()
        recording.client.close()
        recording.start_recorder()
        assert recording.ready["resumed"]
    assert load.wait(60) == 0
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert found.classes[OPEN] + sum(found.counters["lost"][OPEN]) >= 200003
    assert len(found.generations) == 1


def test_small_ring_overflows_in_the_open(record: Record, workloads: Path) -> None:
    """A ring too small loses records, and the counters say how many."""
    recording = record(ring_size=4096)
    recording.select(["open"])
    recording.run_undrained(workloads / "opens", "10007", "/etc/hostname")
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert sum(found.counters["lost"][OPEN]) > 0


def test_one_recorder_for_one_set_of_pins(record: Record, tmp_path: Path) -> None:
    """A second recorder on the same pins is told to stop the first, and changes nothing."""
    recording = record()
    code, words = refuse(tmp_path / "other", recording.pins)
    assert code == 13
    assert words.startswith("Another recorder holds")
    assert recording.client.health()["ok"]
    recording.stop()


def test_one_recorder_for_one_journal(record: Record) -> None:
    """A second recorder on the same journal is refused and leaves no pins behind."""
    recording = record()
    pins = recording.pins.with_name(recording.pins.name + "-second")
    code, words = refuse(recording.journal, pins)
    assert code == 24
    assert words.startswith("Another recorder writes")
    assert not pins.exists()
    recording.stop()


def test_without_privileges(tmp_path: Path) -> None:
    """Without CAP_BPF and CAP_PERFMON: one sentence that says how to get them."""
    code, words = refuse(
        tmp_path, Path("/sys/fs/bpf/podcorder-test-none"), preparation=["setpriv", "--bounding-set=-bpf"]
    )
    assert code == 10
    assert "run as root" in words


def test_pins_outside_a_bpffs(tmp_path: Path) -> None:
    """Pins need a bpffs, and the sentence says how to mount one."""
    code, words = refuse(tmp_path / "journal", tmp_path / "pins")
    assert code == 12
    assert "mount -t bpf" in words


def test_pins_of_another_version(record: Record) -> None:
    """Programs whose maps have another layout are replaced, and the change is told as a gap of unknown size."""
    recording = record()
    recording.select(["exec"])
    end(recording)
    (recording.pins / "maps" / "slots").unlink()
    recording.start_recorder()
    assert not recording.ready["resumed"]
    recording.select(["exec"])
    recording.cgroup.run("true")
    recording.stop()
    found = read_journal(recording.journal)
    assert len(found.generations) == 2
    assert found.classes[EXEC] == 1
    gaps = recording.events(RecordingGap)
    assert [gap.count for gap in gaps] == [None]


def test_missing_objects(tmp_path: Path) -> None:
    """Programs that were never compiled are named, and nothing is left pinned."""
    pins = Path("/sys/fs/bpf/podcorder-test-objects")
    code, words = refuse(tmp_path / "journal", pins, "--objects", os.fspath(tmp_path))
    assert code == 16
    assert "containers.bpf.o is missing" in words
    assert not pins.exists()


def test_memory_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    """Kernels before 5.11 charge what BPF takes to the limit of locked memory; newer ones do not look at it."""
    mount_bpffs()
    pins = Path("/sys/fs/bpf/podcorder-test-memory")
    command = ["prlimit", "--memlock=65536:65536", "setpriv", "--bounding-set=-sys_resource"]
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if release < (5, 11):
        code, words = refuse(tmp_path / "journal", pins, preparation=command)
        assert code == 15
        assert "this kernel takes BPF's memory for locked memory, of which 64 KiB are allowed here" in words
    else:
        own = [*command, sys.executable, "-m", "podcorder_agent.recorder", "--journal", tmp_path, "--pins", pins]
        recorder = subprocess.Popen([*map(str, own)], stdout=subprocess.PIPE, text=True)
        assert recorder.stdout is not None
        assert '"ready": true' in recorder.stdout.readline()
        recorder.terminate()
        recorder.wait(30)
        Pins(pins).remove()
    assert not pins.exists()


def test_half_attached_programs_are_made_whole(record: Record, workloads: Path) -> None:
    """What a killed recorder had not finished attaching is attached anew, and counted under the same generation."""
    recording = record()
    recording.select(["exec", "exit", "open"])
    states = recording.client.health()["capabilities"]
    rung = states["processes"]["rung"]
    recording.recorder.kill()
    recording.recorder.wait()
    recording.client.close()
    (recording.pins / "links" / "processes" / rung / "record_exit").unlink()
    handlers = bpf_maps.Map.open(recording.pins / "maps" / HANDLERS_MAPS[rung == "raw_tp"])
    assert handlers.delete((1).to_bytes(4, "little"))
    handlers.close()
    recording.start_recorder()
    assert recording.ready["capabilities"] == states
    recording.cgroup.run(workloads / "opens", "101", "/etc/hostname")
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert found.classes[OPEN] >= 101
    assert found.classes[EXIT] == 1


def test_socket_path_that_is_too_long(tmp_path: Path) -> None:
    """A journal whose socket's path the kernel cannot take is refused, and nothing is left pinned."""
    pins = Path("/sys/fs/bpf/podcorder-test-socket")
    code, words = refuse(tmp_path / ("long" * 30), pins)
    assert code == 17
    assert "control.sock" in words
    assert not pins.exists()


def test_journal_on_a_full_disk(tmp_path: Path) -> None:
    """A recorder that cannot write its first word does not start, and nothing is left pinned."""
    pins = Path("/sys/fs/bpf/podcorder-test-full")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,nr_inodes=8", "tmpfs", tmp_path], check=True)
    try:
        (tmp_path / "filler").write_bytes(bytes(4096))
        code, words = refuse(tmp_path, pins)
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
    assert code == 26
    assert "free some space" in words
    assert not pins.exists()


def test_memory_outside_the_rings_is_small(record: Record, workloads: Path) -> None:
    """At most 40 MB are resident besides the rings' mappings, also after work; what attaching took is given back."""
    recording = record()
    before = read_resident(recording.recorder.pid)
    recording.select()
    attached = read_resident(recording.recorder.pid)
    recording.cgroup.run(workloads / "opens", "100003", "/etc/hostname")
    recording.client.flush()
    assert before.rings > 0
    assert attached.outside - before.outside < 4e6  # the kernel's own types, which libbpf reads, are 5 MB and more
    assert read_resident(recording.recorder.pid).outside <= 40e6
    recording.stop()


def test_exporter_without_privileges_may_ask(record: Record) -> None:
    """The exporter's uid is served, another unprivileged one is not, and files go to the exporter's group."""
    exporter, stranger = 65_001, 65_002
    recording = record(arguments=["--exporter-uid", str(exporter), "--exporter-gid", str(exporter)])
    for directory in (recording.journal.parent.parent, recording.journal.parent, recording.journal):
        directory.chmod(0o755)
    program = (
        "import os, sys\n"
        "from podcorder_agent.control.client import ControlClient\n"
        "os.setresgid(*[int(sys.argv[2])] * 3), os.setresuid(*[int(sys.argv[2])] * 3)\n"
        "print(ControlClient(sys.argv[1], 'exporter').hello()['ok'])"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", program, recording.journal / "control.sock", str(uid)],
            capture_output=True,
            text=True,
            check=False,
        )
        for uid in (exporter, stranger)
    ]
    assert answers[0].stdout == "True\n", answers[0].stderr
    assert answers[1].stdout == ""
    assert "ControlUnreachable" in answers[1].stderr
    assert {path.stat().st_gid for path in recording.journal.glob("*.segment")} == {exporter}
    recording.stop()
