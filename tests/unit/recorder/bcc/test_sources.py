"""What is read from the programs' sources, and written for bcc."""

from __future__ import annotations

from pathlib import Path

from podcorder_agent.recorder.bcc.sources import SOURCES, Hook, read_hooks, write_main, write_maps
from podcorder_agent.recorder.ladders import LADDERS

BPF = Path(__file__).parents[4] / "bpf"


def test_every_program_of_every_rung_has_its_hook() -> None:
    """Loaders look programs up by the names that the ladders have."""
    for rung in (rung for each in LADDERS for rung in each.rungs):
        hooks = read_hooks(SOURCES / f"{rung.source}.bpf.c")
        assert rung.programs.keys() | set(rung.handlers.values()) <= hooks.keys()


def test_hooks_are_read_as_they_are_declared(tmp_path: Path) -> None:
    """With and without named arguments, over several lines; pointers to structures by what they point to."""
    source = tmp_path / "x.bpf.c"
    source.write_text(
        "PROGRAM(tracepoint, one)\nint BPF_PROG(first, const struct sock *sk, int from,\n"
        "\t     struct file *file)\n{\n}\n"
        "PROGRAM(function_exit, two)\nint second(__u64 *ctx)\n{\n}\n"
    )
    assert read_hooks(source) == {
        "first": Hook("tracepoint", "one", ("sock", "", "file")),
        "second": Hook("function_exit", "two", ()),
    }


def test_sources_are_shipped_as_they_are() -> None:
    """The package has a copy of every program's source and of every header: `make bpf` after a change."""
    shipped = {path.name: path.read_bytes() for path in SOURCES.iterdir()}
    assert shipped == {path.name: path.read_bytes() for path in [*BPF.glob("*.bpf.c"), *BPF.glob("*.h")]}


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
