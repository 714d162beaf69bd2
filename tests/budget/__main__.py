"""The verifier budget: `make verifier-budget`, `make lint`, and `python -m budget` on the test machines."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from budget.objects import measure_objects
from budget.table import TABLE, Table, compare_section, merge_sections, read_table, render_table
from budget.verifier import measure_kernel, section_name

from podcorder_agent.errors import PodcorderError
from podcorder_agent.recorder.bcc.library import find_bcc
from podcorder_agent.recorder.bcc.loader import BccLoader
from podcorder_agent.recorder.errors import BccMissing
from podcorder_agent.recorder.loaders import ARCHITECTURES, OBJECTS, CoreLoader
from podcorder_agent.recorder.privileges import KEPT, effective_capabilities

LOADERS = ("core", "bcc")


def main() -> int:
    parser = argparse.ArgumentParser(prog="budget", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    measure = actions.add_parser("measure", help="print this kernel's figures as JSON")
    measure.add_argument("--loader", choices=LOADERS, action="append", help="default: those that are installed")
    actions.add_parser("update", help="write the objects' and this kernel's figures into the table")
    merge = actions.add_parser("merge", help="write the objects' and other kernels' figures into the table")
    merge.add_argument("files", type=Path, nargs="+", help="what `measure` printed on those kernels")
    compare = actions.add_parser("check", help="compare the objects' and this kernel's figures with the table")
    compare.add_argument("files", type=Path, nargs="*", help="what `measure` printed, in place of this kernel's")
    options = parser.parse_args()
    try:
        if options.action == "measure":
            print(json.dumps(measure_aloud(options.loader or installed_loaders()), sort_keys=True))
        elif options.action == "check":
            return check(options.files)
        else:
            measured = read_files(options.files) if options.action == "merge" else measure_aloud(installed_loaders())
            TABLE.write_text(render_table(merge_sections(read_table(), objects() | measured)))
    except PodcorderError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def check(files: list[Path]) -> int:
    """Say what was compared, and each sentence of compare_section(): of the objects, and where possible of kernels."""
    table = read_table()
    remedy = "run `make verifier-budget` as root to acknowledge it"
    if files:
        measured, reason = read_files(files), ""
        remedy = f"run `PYTHONPATH=tests python -m budget merge {shlex.join(map(str, files))}` to acknowledge it"
    else:
        measured, reason = measure_known(table)
    measured = objects() | measured
    print(f"Verifier budget: compared {', '.join(measured)}{reason}.", flush=True)
    found = [
        each
        for name, section in measured.items()
        for each in compare_section(name, table.get(name, {}), section, remedy)
    ]
    print(*found, sep="\n", end="\n" if found else "", file=sys.stderr)
    return int(bool(found))


def measure_known(table: Table) -> tuple[Table, str]:
    """This kernel's figures by the loaders that the table has it with, or why there are none."""
    if effective_capabilities() & KEPT != KEPT:
        return {}, "; no verifier was asked, since only root may"
    known = [name for name in installed_loaders() if section_name(make_loader(name)) in table]
    measured = {section_name(each): measure_kernel(each)[0] for each in map(make_loader, known)}
    return measured, "" if known else f"; no verifier was asked, since {section_name(CoreLoader())} is new"


def measure_aloud(loaders: list[str]) -> Table:
    """This kernel's figures; the programs that it refuses are named on stderr."""
    table = {}
    for loader in map(make_loader, loaders):
        table[section_name(loader)], refusals = measure_kernel(loader)
        for program, reason in refusals.items():
            print(f"{program} is refused ({loader.name}): {reason}", file=sys.stderr)
    return table


def make_loader(name: str) -> CoreLoader:
    return BccLoader() if name == "bcc" else CoreLoader()


def installed_loaders() -> list[str]:
    """bcc only where it is installed."""
    try:
        find_bcc()
    except BccMissing:
        return ["core"]
    return list(LOADERS)


def objects() -> Table:
    """Of every architecture that programs are compiled for."""
    return {f"objects {each}": measure_objects(OBJECTS / each) for each in ARCHITECTURES.values()}


def read_files(files: list[Path]) -> Table:
    measured: Table = {}
    for file in files:
        measured |= json.loads(file.read_text())
    return measured


if __name__ == "__main__":
    sys.exit(main())
