"""The figures that the running kernel's verifier gives of each program that it takes."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

from budget.elf import read_functions
from budget.objects import SUFFIX
from budget.stacks import sum_depths, verified_depth
from budget.table import Section

from podcorder_agent.recorder.ladders import LADDERS, Rung
from podcorder_agent.recorder.loaders import ARCHITECTURES, OBJECTS, CoreLoader, RungRefused

ITERATORS = (Rung("iterator", "identities", {"list_identities": ""}),)
"""Programs that are on no ladder."""
_PROCESSED = re.compile(r"^processed (\d+) insns", re.MULTILINE)
_DEPTHS = re.compile(r"^stack depth (\d+(?:\+\d+)*)", re.MULTILINE)


def section_name(loader: CoreLoader) -> str:
    """The running kernel's."""
    machine = os.uname()
    kernel = ".".join(machine.release.split(".")[:2])
    return f"{kernel} {ARCHITECTURES[machine.machine]} {loader.name}"


def measure_kernel(loader: CoreLoader) -> tuple[Section, dict[str, str]]:
    """Of the programs of every rung that the loader takes; and by program why this kernel refuses it, where it does."""
    section: Section = {}
    refusals: dict[str, str] = {}
    rungs = [*(rung for capability in LADDERS for rung in capability.rungs), *ITERATORS]
    for rung in rungs if loader.name == "core" else [each for each in rungs if each.raw]:
        new = [each for each in _single_rungs(rung) if _key(each) not in section | refusals]
        try:
            section |= _verify(loader, rung) if new else {}
        except RungRefused:
            for each in new:
                try:
                    section |= _verify(loader, each)
                except RungRefused as error:
                    refusals[_key(each)] = str(error)
    return section, refusals


def read_words(words: str) -> tuple[int, list[int]]:
    """Instructions processed, and the depth of each function's stack; raises ValueError for other words."""
    processed, depths = _PROCESSED.search(words), _DEPTHS.search(words)
    if processed is None or depths is None:
        raise ValueError(f"no statistics of the verifier: {words!r}")
    return int(processed[1]), [int(each) for each in depths[1].split("+")]


def _single_rungs(rung: Rung) -> list[Rung]:
    """One for each program: what refuses one need not refuse the others."""
    names = [*rung.programs, *rung.handlers.values()]
    return [replace(rung, programs={name: ""}, handlers={}) for name in names]


def _key(rung: Rung) -> str:
    return f"{rung.object}/{next(iter(rung.programs))}"


def _verify(loader: CoreLoader, rung: Rung) -> Section:
    """Raises RungRefused."""
    section = {}
    path = Path(OBJECTS, ARCHITECTURES[os.uname().machine], f"{rung.object}{SUFFIX}")
    functions = read_functions(path)
    for name, words in loader.verify(rung).items():
        processed, depths = read_words(words)
        # bcc inlines every function
        stack = verified_depth(functions, name, depths) if loader.name == "core" else sum_depths(depths)
        section[f"{rung.object}/{name}"] = {"processed": processed, "stack": stack}
    return section
