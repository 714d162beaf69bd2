"""A kernel that is locked down, step by step as it cannot be undone: run in the machine alone, and in this order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.faulty_kernels import WHOLE, StayingRecorder
from fixtures.recordings import Recording, temporary_directory

from podcorder_agent.interpreter.events import Finding, ProcessExec

LOCKDOWN = Path("/sys/kernel/security/lockdown")
SENTENCE = (
    "This kernel is locked down (confidentiality) and lets no program read its memory: "
    "boot it with lockdown=integrity, or without."
)


@pytest.fixture(scope="module")
def recording() -> Iterator[Recording]:
    with temporary_directory() as name:
        made = Recording(Path(name))
        try:
            yield made
        finally:
            made.clean_up()


def test_integrity_takes_nothing_away(recording: Recording) -> None:
    """Every capability that is asked for is there."""
    LOCKDOWN.write_text("integrity")
    recording.select(["exec"])
    states = recording.client.health()["capabilities"]
    assert (states["processes"]["state"], states["containers"]["state"]) == ("Active", "Active")
    recording.cgroup.run("true")


def test_what_records_goes_on_and_what_is_new_says_why(recording: Recording) -> None:
    """Programs that are attached see all they saw; one that is wanted later is refused, for the lockdown."""
    LOCKDOWN.write_text("confidentiality")
    recording.select(["exec", "datagram"])
    state = recording.client.health()["capabilities"]["network_udp"]
    assert state["state"] == "Failed"
    assert "locked down (confidentiality)" in state["reason"]
    recording.cgroup.run("true")
    recording.stop()
    assert [each.process.executable for each in recording.events(ProcessExec)] == [b"/usr/bin/true"] * 2
    (finding,) = recording.events(Finding)
    assert finding.subject == "network_udp"


def test_doctor_names_the_remedy() -> None:
    """The one check that fails is lockdown's, and no rung is tried in vain."""
    examined = WHOLE.examine()
    failed = {each["name"]: each["remedy"] for each in examined.report["checks"] if not each["ok"]}
    assert failed == {"lockdown": "boot with lockdown=integrity, or without"}
    assert (examined.exit_code, examined.report["rungs"]) == (8, [])


def test_recording_a_command_says_so_and_begins_nothing(tmp_path: Path) -> None:
    """`podcorder record` ends with an exit code of its own and one sentence; the command does not run."""
    done = WHOLE.podcorder("record", "--journal", tmp_path / "journal", "--", "touch", tmp_path / "run")
    assert (done.returncode, done.stderr) == (47, f"podcorder: {SENTENCE}\n")
    assert not (tmp_path / "run").exists()


def test_a_nodes_recorder_stays_and_says_why(tmp_path: Path) -> None:
    """All capabilities have failed for this reason; it ends in good order when it is told to."""
    with StayingRecorder(WHOLE, tmp_path) as recorder:
        assert recorder.reasons() == {SENTENCE}
        assert recorder.stop() == f"{SENTENCE}\n"
