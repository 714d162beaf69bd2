"""Run a shell's command in a machine of its own: `python -m machines 5.10 'podcorder doctor'`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from machines.kernels import KERNELS, find
from machines.machine import Machine, MachineFailed

from images.errors import CommandFailed


def main() -> None:
    parser = argparse.ArgumentParser(prog="machines")
    parser.add_argument("kernel", type=find, help=f"one of {', '.join(KERNELS)}; amd64 need not be said")
    parser.add_argument("command", help="runs as root in /project; what it leaves in /results comes back")
    parser.add_argument("--words", default="", help="for the kernel, such as lockdown=confidentiality")
    parser.add_argument("--seconds", type=float, default=900, help="after which the machine is ended (default: 900)")
    parser.add_argument("--results", type=Path, help="directory for what the command leaves")
    arguments = parser.parse_args()
    with tempfile.NamedTemporaryFile(prefix="podcorder-console-") as console:
        try:
            outcome = Machine.prepare(arguments.kernel).run(
                arguments.command, Path(console.name), arguments.seconds, arguments.words
            )
        except (CommandFailed, MachineFailed) as failed:
            sys.exit(f"machines: {failed}")
        sys.stdout.buffer.write(console.read())
    for name, content in outcome.files.items():
        if arguments.results:
            path = arguments.results / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        else:
            print(f"== {name}: {len(content)} bytes")
    sys.exit(outcome.exit_code)


main()
