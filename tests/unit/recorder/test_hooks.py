"""What is read from the programs' sources."""

from __future__ import annotations

from pathlib import Path

from podcorder_agent.recorder.hooks import SOURCES, Hook, read_hooks
from podcorder_agent.recorder.ladders import LADDERS

BPF = Path(__file__).parents[3] / "bpf"


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
