"""A kernel that is locked down for confidentiality lets nothing be recorded, and each way in says so."""

from __future__ import annotations

import json

import pytest
from machines.kernels import KERNELS
from machines.machine import Machine, Outcome

from podcorder_agent.recorder.ladders import LADDERS

SENTENCE = (
    "This kernel is locked down (confidentiality) and lets no program read its memory: "
    "boot it with lockdown=integrity, or without."
)
COMMAND = r"""
cp /sys/kernel/security/lockdown /results/lockdown
podcorder() { python3 -c 'from podcorder_agent.cli import main; raise SystemExit(main())' "$@"; }
podcorder doctor --output json >/results/doctor 2>/results/doctor-said
podcorder record -- touch /results/run 2>/results/record-said
echo $? >/results/record-code
mkdir /tmp/journal
python3 -m podcorder_agent.recorder --stay --journal /tmp/journal >/results/ready 2>/results/recorder-said &
until grep -q ready /results/ready; do kill -0 $! || exit 1; sleep 0.1; done
kill -TERM $!
wait $!
"""
SECONDS = 300


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Of doctor, of a recording, and of a recorder that stays; what the machine printed is shown where a test fails."""
    console = tmp_path_factory.mktemp("machine") / "console"
    outcome = Machine.prepare(KERNELS["6.1-amd64"]).run(COMMAND, console, SECONDS, "lockdown=confidentiality")
    print(console.read_text(errors="replace"))
    assert b"[confidentiality]" in outcome.files["lockdown"]
    return outcome


def test_doctor_names_the_remedy(outcome: Outcome) -> None:
    """The one check that fails is lockdown's, and no rung is tried in vain."""
    report = json.loads(outcome.files["doctor"])
    failed = {each["name"]: each["remedy"] for each in report["checks"] if not each["ok"]}
    assert failed == {"lockdown": "boot with lockdown=integrity, or without"}
    assert report["rungs"] == []
    assert not report["able"]


def test_recording_a_command_says_so_and_begins_nothing(outcome: Outcome) -> None:
    """`podcorder record` ends with an exit code of its own and one sentence; the command does not run."""
    assert outcome.files["record-said"].decode() == f"podcorder: {SENTENCE}\n"
    assert outcome.files["record-code"] == b"47\n"
    assert "run" not in outcome.files


def test_a_nodes_recorder_stays_and_says_why(outcome: Outcome) -> None:
    """All capabilities have failed for this reason; it ends in good order when it is told to."""
    states = json.loads(outcome.files["ready"])["capabilities"]
    assert states == {each.name: {"state": "Failed", "rung": "", "reason": SENTENCE} for each in LADDERS}
    assert outcome.files["recorder-said"].decode() == f"{SENTENCE}\n"
    assert outcome.exit_code == 0
