"""Figures that grew are found, and the table is written so that a difference is a line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from budget.table import Section, compare_section, merge_sections, read_table, render_table

REMEDY = "acknowledge it"
KNOWN: Section = {"files/record_open": {"processed": 1000, "stack": 320}}


@pytest.mark.parametrize(
    "figures",
    [
        {"processed": 1000, "stack": 320},
        {"processed": 1100, "stack": 352},
        {"processed": 1, "stack": 32},
    ],
)
def test_a_tenth_more_is_let_through(figures: dict[str, int]) -> None:
    """As is everything less."""
    assert compare_section("6.18 x86_64 core", KNOWN, {"files/record_open": figures}, REMEDY) == []


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"processed": 1101, "stack": 320}, "takes 1,101 instructions processed by the verifier, and 1,000 before"),
        ({"processed": 1000, "stack": 384}, "takes 384 bytes of stack, and 320 before"),
        ({"processed": 1_000_001, "stack": 320}, "takes 1,000,001 instructions processed by the verifier, of at most"),
        ({"processed": 1000, "stack": 544}, "takes 544 bytes of stack, of at most 512"),
    ],
)
def test_more_is_one_sentence(figures: dict[str, int], words: str) -> None:
    """It names the program, the kernel, both figures and what acknowledges it; or the kernel's limit."""
    (sentence,) = compare_section("6.18 x86_64 core", KNOWN, {"files/record_open": figures}, REMEDY)
    assert sentence.startswith("files/record_open (6.18 x86_64 core) ")
    assert words in sentence
    assert ("at most" in words) or sentence.endswith(f"make it cheaper, or {REMEDY}.")


def test_each_figure_has_its_own_sentence() -> None:
    """A program that grew in two ways is told of twice."""
    assert (
        len(compare_section("objects arm64", KNOWN, {"files/record_open": {"processed": 2000, "stack": 480}}, "")) == 2
    )


def test_a_program_without_figures_fails_and_so_does_one_that_is_gone() -> None:
    """Neither passes in silence."""
    found = compare_section("6.1 arm64 bcc", KNOWN, {"files/record_close": {"processed": 1, "stack": 32}}, REMEDY)
    assert found == [
        f"files/record_close (6.1 arm64 bcc) is not in the table: {REMEDY}.",
        f"files/record_open (6.1 arm64 bcc) is in the table and no longer loads: if that is meant, {REMEDY}.",
    ]


def test_one_program_is_one_line(tmp_path: Path) -> None:
    """Objects come first, then kernels by their versions, and within them programs by name."""
    figures = {"processed": 1, "stack": 32}
    section: Section = {"b/two": figures, "a/one": figures}
    table = {
        "6.12 x86_64 core": section,
        "6.1 x86_64 core": section,
        "5.10 x86_64 bcc": section,
        "objects arm64": section,
    }
    text = render_table(table)
    assert list(json.loads(text)) == ["objects arm64", "5.10 x86_64 bcc", "6.1 x86_64 core", "6.12 x86_64 core"]
    assert [line.split('"')[1] for line in text.splitlines() if line.startswith("    ")] == ["a/one", "b/two"] * 4
    path = tmp_path / "table.json"
    path.write_text(text)
    assert read_table(path) == table


def test_what_was_measured_replaces_its_own_kernel_alone() -> None:
    """Other kernels keep their figures, but those of programs that no object has any more."""
    old, new = {"processed": 1, "stack": 32}, {"processed": 2, "stack": 64}
    table = {"6.1 x86_64 core": {"a/kept": old, "a/gone": old}, "6.18 x86_64 core": {"a/kept": old, "a/refused": old}}
    objects = {"a/kept": {"instructions": 1, "stack": 32}, "a/refused": {"instructions": 1, "stack": 32}}
    merged = merge_sections(table, {"objects x86_64": objects, "6.18 x86_64 core": {"a/kept": new}})
    assert merged == {
        "objects x86_64": objects,
        "6.1 x86_64 core": {"a/kept": old},
        "6.18 x86_64 core": {"a/kept": new},
    }
