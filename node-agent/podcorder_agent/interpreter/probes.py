"""Whether the first program of a session is what the kubelet runs: an exec probe or a lifecycle hook."""

from __future__ import annotations

from typing import NamedTuple

MOST_PROBES = 16
"""Commands kept of a container: it has three probes and two hooks."""
MOST_PROBE_BYTES = 1 << 13
"""Of all commands of a container, which each checkpoint has again; what is beyond is not kept, and its sessions are
execs."""


class Program(NamedTuple):
    """An exec as its record tells of it, before redaction."""

    argv: bytes
    """NUL-terminated strings one after another; maybe cut."""
    total: int
    """Bytes of the whole argv."""
    filename: bytes
    """The name given to execve."""
    script: bool
    """The kernel put the interpreter in front: its name, maybe one argument, then the filename for the first word."""
    terminal: bool


def read_probes(told: object) -> tuple[bytes, ...]:
    """The commands of a `select` request as argv stands in memory; what is no command is left out."""
    found: list[bytes] = []
    left = MOST_PROBE_BYTES
    for each in told[:MOST_PROBES] if isinstance(told, list) else ():
        if isinstance(each, list) and each and all(isinstance(word, str) and "\0" not in word for word in each):
            argv = b"".join(word.encode("utf-8", "surrogatepass") + b"\0" for word in each)
            if len(argv) <= left:
                found.append(argv)
                left -= len(argv)
    return tuple(found)


def is_probe(program: Program, probes: tuple[bytes, ...]) -> bool:
    """Whether it is one of these commands, word for word. The kubelet gives no terminal."""
    return not program.terminal and any(_runs(program, each) for each in probes)


def _runs(program: Program, probe: bytes) -> bool:
    if not program.script:
        return program.total == len(probe) and probe.startswith(program.argv)
    name, _, rest = probe.partition(b"\0")
    # A name without a slash is looked up in PATH.
    if program.filename != name and (b"/" in name or program.filename.rpartition(b"/")[2] != name):
        return False
    given = program.filename + b"\0" + rest
    put_in_front = program.argv.removesuffix(given)
    return (
        program.total == len(program.argv) > len(put_in_front) > 0
        and put_in_front.endswith(b"\0")
        and program.filename not in put_in_front.split(b"\0")
    )
