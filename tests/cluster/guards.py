"""Ends a cluster whose owner ends without taking it down, as a killed test run does.

`python -m cluster.guards IDENTITY DIRECTORY` waits for the end of its standard input, a pipe that the owner alone
writes to, and ends the sandbox of that identity and the directory.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from cluster.sandboxes import Sandbox


def start_guard(sandbox: Sandbox, directory: Path) -> subprocess.Popen[bytes]:
    """A guard for this sandbox; its owner kills it once the sandbox is closed."""
    return subprocess.Popen(
        [sys.executable, "-m", "cluster.guards", sandbox.identity, directory],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        start_new_session=True,  # what ends the owner does not end it
    )


def main() -> None:
    identity, directory = sys.argv[1:]
    sys.stdin.read()
    sandbox = Sandbox.find(identity)
    if sandbox is not None:
        sandbox.close()
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
