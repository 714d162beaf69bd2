"""The recorder in a container of a pod: two capabilities, a pid namespace of its own, nothing else of the machine."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fixtures.containers import CAPABILITIES, EXPORTER_GROUP, RecorderContainer, make_busybox_bundle
from fixtures.record_ids import read_journal
from fixtures.recordings import RecorderEnded, cgroup2_mount, temporary_directory

import podcorder_agent
from podcorder_agent.classes import RecordClass
from podcorder_agent.interpreter.events import FileOpen, ProcessExec
from podcorder_agent.recorder.privileges import KEPT

Contain = Callable[..., RecorderContainer]


@pytest.fixture
def contain() -> Iterator[Contain]:
    """Start recorders in containers; what a failed test leaves is cleaned up."""
    made: list[RecorderContainer] = []
    with temporary_directory() as directory:

        def start(**options: object) -> RecorderContainer:
            own = Path(directory) / str(len(made))
            own.mkdir()
            made.append(RecorderContainer(own, **options))  # type: ignore[arg-type]
            return made[-1]

        try:
            yield start
        finally:
            for each in made:
                each.clean_up()


def test_it_records_a_container_beside_it(contain: Contain, tmp_path: Path) -> None:
    """What another container runs and opens is recorded from its first exec on; of the recorder itself, nothing."""
    recording = contain()
    states = recording.ready["capabilities"]
    assert {state["state"] for state in states.values()} == {"Off"}
    recording.client.configure(0, {"policy": "test", "events": ["exec", "open", "connect", "accept", "datagram"]})
    recording.client.pending(["exec", "open"], 60, 1 << 20)
    states = recording.client.health()["capabilities"]
    assert {state["state"] for state in states.values()} <= {"Active", "Degraded", "Off"}, states
    assert {states[name]["state"] for name in ("containers", "processes")} == {"Active"}, states

    bundle = make_busybox_bundle(tmp_path, "cat /etc/motd; read word; /bin/true")
    command = ["runc", "run", "--bundle", bundle, f"{recording.name}-beside"]
    beside = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert beside.stdout is not None
    assert beside.stdout.readline() == "hello\n"
    cgroup = cgroup2_mount() / f"{recording.name}-beside"
    chosen = recording.client.select(cgroup.stat().st_ino, 0, "Container", {"path": f"/{cgroup.name}"})
    assert chosen["cgroups"] == 1
    beside.communicate("word\n", timeout=20)
    recording.stop()

    read_journal(recording.journal).assert_law()
    events, _ = recording.interpret()
    own = [each for each in events if each.process and each.process.session.kind.value == "Container"]
    executed = [event.arguments for event in own if isinstance(event, ProcessExec)]
    assert executed[1:] == [[b"cat", b"/etc/motd"], [b"/bin/true"]]
    assert b"/etc/motd" in [event.path for event in own if isinstance(event, FileOpen)]
    assert not any(b"python" in (event.comm or b"") for event in events)


def test_it_holds_what_its_pod_grants_and_no_more(contain: Contain) -> None:
    """Two capabilities, two seccomp filters, a read-only root, no network; the exporter's group may read its files."""
    recording = contain()
    process = Path(f"/proc/{recording.pid}")
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {KEPT}
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == ("1", "2", "2")
    assert status["Groups"].split() == [str(EXPORTER_GROUP)]
    assert status["NSpid"].split()[1:] == ["1"]
    mounts = [line.split() for line in (process / "mounts").read_text().splitlines()]
    assert "ro" in next(options for _, point, _, options, *_ in mounts if point == "/").split(",")
    assert [line.split(":")[0].strip() for line in (process / "net/dev").read_text().splitlines()[2:]] == ["lo"]
    made = [*recording.journal.glob("*.segment"), recording.journal / "control.sock"]
    assert {path.stat().st_gid for path in made} == {EXPORTER_GROUP}
    assert {path.stat().st_mode & 0o777 for path in made[:-1]} == {0o640}
    recording.stop()


@pytest.mark.parametrize("missing", CAPABILITIES)
def test_it_does_not_start_with_less(contain: Contain, missing: str) -> None:
    """Without either of its capabilities it ends with the exit code that says so."""
    with pytest.raises(RecorderEnded) as ended:
        contain(capabilities=tuple(each for each in CAPABILITIES if each != missing))
    assert ended.value.args[0] == 10
    assert "CAP_BPF and CAP_PERFMON" in ended.value.args[1]


def test_it_does_not_start_outside_the_exporters_group(contain: Contain) -> None:
    """A journal that nobody could read is not begun: the sentence names what the pod lacks."""
    with pytest.raises(RecorderEnded) as ended:
        contain(groups=())
    assert ended.value.args[0] == 10
    assert "supplementalGroups" in ended.value.args[1]


def test_a_newer_one_takes_over_without_a_gap(contain: Contain, workloads: Path, tmp_path: Path) -> None:
    """Replaced under load by a container of another installation, and back, it records each open once; a stop leaves
    no pin and no cgroup."""
    versions = [tmp_path / "newer", Path(podcorder_agent.__file__).parents[1]]
    shutil.copytree(versions[1] / "podcorder_agent", versions[0] / "podcorder_agent")
    recording = contain(ring_size=1 << 26)
    recording.select(["open"])
    load = recording.cgroup.start([workloads / "opens", "500009", "/etc/hostname"])
    for version in versions:
        recording.recorder.send_signal(signal.SIGTERM)
        assert recording.recorder.wait(20) == 0
        recording.client.close()
        recording.package = version
        recording.start_recorder()
        assert recording.ready["resumed"]
        assert recording.ready["capabilities"]["files"]["state"] == "Active"
    assert load.wait(60) == 0
    recording.stop()
    assert not list(cgroup2_mount().glob(f"{recording.name}*"))
    found = read_journal(recording.journal)
    found.assert_law()
    assert (found.repeated, len(found.generations)) == (0, 1)
    assert sum(found.counters["lost"][RecordClass.OPEN]) == 0
    assert len(recording.events(FileOpen, lambda event: event.path == b"/etc/hostname")) == 500009
