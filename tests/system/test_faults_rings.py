"""A kernel before Linux 5.8: it has no ring buffers, without which nothing can be recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.faulty_kernels import FaultyKernel, StayingRecorder, lack_ring_buffers, precede_ring_buffers

from podcorder_agent.cli.doctors import OPTIONAL
from podcorder_agent.interpreter import Interpreter
from podcorder_agent.interpreter.events import Finding
from podcorder_agent.journal import Reader
from podcorder_agent.recorder.ladders import LADDERS

SENTENCE = "This kernel has no BPF ring buffers: boot Linux 5.8 or newer."
SETTINGS = {"policy": "test", "events": ["exec", "open"]}


@pytest.fixture(scope="module", params=[lack_ring_buffers, precede_ring_buffers], ids=lambda each: each.__name__)
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FaultyKernel:
    """One that refuses the map, and one that does not know the recorder's privileges either."""
    make: Callable[[Path], FaultyKernel] = request.param
    return make(tmp_path_factory.mktemp("kernel"))


def test_recording_a_command_says_so_and_begins_nothing(kernel: FaultyKernel, tmp_path: Path) -> None:
    """`podcorder record` ends with an exit code of its own, one sentence and its remedy; the command does not run."""
    done = kernel.podcorder("record", "--journal", tmp_path / "journal", "--", "touch", tmp_path / "run")
    assert (done.returncode, done.stderr) == (39, f"podcorder: {SENTENCE}\n")
    assert not (tmp_path / "run").exists()


def test_doctor_names_the_remedy(kernel: FaultyKernel) -> None:
    """The check that fails says what to boot, and no rung is tried in vain."""
    examined = kernel.examine()
    assert examined.exit_code == 8
    failed = [each for each in examined.report["checks"] if not each["ok"] and each["name"] not in OPTIONAL]
    remedies = [each["remedy"] for each in failed]
    assert len(remedies) == 1
    assert "boot Linux 5.8 or newer" in remedies[0]
    assert examined.report["rungs"] == []


def test_a_nodes_recorder_stays_and_says_why(kernel: FaultyKernel, tmp_path: Path) -> None:
    """It takes every request, all capabilities have failed for this reason, and nothing is left in the kernel."""
    with StayingRecorder(kernel, tmp_path) as recorder:
        assert recorder.reasons() == {SENTENCE}
        control = recorder.client
        told = control.configure(0, SETTINGS)["capabilities"]
        assert told.keys() == {each.name for each in LADDERS}
        assert control.pending(["exec"])["capabilities"] == told
        assert control.select(1, 0, "Container", {"path": "/"})["cgroups"] == 0
        control.ignore(1)
        control.acknowledge(control.flush()["position"], {})
        control.unload()
        assert recorder.reasons() == {SENTENCE}
        assert recorder.stop() == f"{SENTENCE}\n"


def test_the_journal_tells_that_nothing_is_recorded(kernel: FaultyKernel, tmp_path: Path) -> None:
    """Every capability is a finding, and no container looks as if it were recorded."""
    with StayingRecorder(kernel, tmp_path) as recorder:
        recorder.client.configure(0, SETTINGS)
        recorder.client.select(1, 0, "Container", {"path": "/"})
        recorder.stop()
    interpreter = Interpreter()
    events = [event for frame in Reader(tmp_path).read() for event in interpreter.interpret(frame)]
    assert {type(each) for each in events} == {Finding}
    assert [each.subject for each in events if isinstance(each, Finding)] == [each.name for each in LADDERS]
    assert all(SENTENCE in each.message for each in events if isinstance(each, Finding))
