"""What precedes an uninstallation: the recorder takes everything out of the kernel and stays for the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.record_ids import read_journal
from fixtures.recordings import Recording

from podcorder_agent.control.client import ControlError, ControlUnreachable

OPEN = 4
Record = Callable[..., Recording]


def test_unload_leaves_nothing_in_the_kernel(record: Record, workloads: Path) -> None:
    """Pins and programs are gone, the counters account for every record, and what concerns the journal is answered."""
    recording = record()
    recording.select(["open"])
    recording.cgroup.run(workloads / "opens", "1009", "/etc/hostname")
    recording.client.unload()
    assert not recording.pins.exists()
    assert {each["state"] for each in recording.client.health()["capabilities"].values()} == {"Off"}
    recording.cgroup.run(workloads / "opens", "10007", "/etc/hostname")
    recording.client.acknowledge(recording.client.flush()["position"])
    recording.client.unload()
    recording.client.exclude(recording.cgroup.id)
    recording.client.pending([])
    recording.stop()
    found = read_journal(recording.journal)
    found.assert_law()
    assert 1009 <= found.classes[OPEN] < 10007
    assert [note for note in found.notes if note["note"] == "stopped"] == [{"note": "stopped", "unpinned": True}]


@pytest.mark.parametrize("ask", [Recording.select, lambda recording: recording.client.pending(["exec"])])
def test_who_would_record_again_gets_a_new_recorder(record: Record, ask: Callable[[Recording], None]) -> None:
    """The one that was unloaded refuses and ends well; the next one loads everything anew."""
    recording = record()
    recording.client.unload()
    with pytest.raises(ControlError, match="ask the next one") as refusal:
        ask(recording)
    assert not isinstance(refusal.value, ControlUnreachable)
    assert recording.recorder.wait(10) == 0
    recording.start_recorder()
    assert not recording.ready["resumed"]
    ask(recording)
    assert recording.client.health()["capabilities"]["processes"]["state"] == "Active"
    recording.stop()
    assert len(read_journal(recording.journal).generations) == 2
