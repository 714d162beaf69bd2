"""What is written for bcc beside the programs' sources."""

from __future__ import annotations

from podcorder_agent.recorder.bcc.sources import write_main, write_maps


def test_main_file_calls_each_program_once() -> None:
    """bcc takes functions of its main file alone, and licenses them by a definition there."""
    main = write_main("process", ["record_exec", "record_exit"])
    assert main.splitlines()[:2] == ["#define BPF_LICENSE Dual BSD/GPL", '#include "process.bpf.c"']
    assert "int run_record_exec(__u64 *context) { return record_exec(context); }" in main


def test_maps_are_told_by_place_and_size() -> None:
    """A source that declares other entries than were made does not compile."""
    header = write_maps({"state": {"key_bytes": 4, "value_bytes": 40}}, {"wakeup_bytes": 1024})
    assert header.splitlines() == [
        "#define PLACE_state 0",
        "#define KEY_BYTES_state 4",
        "#define VALUE_BYTES_state 40",
        "#define KNOB_wakeup_bytes 1024",
    ]
