"""Events per CPU-second of the interpreter alone: each class, and the mix of 90% opens, 5% execs and 5% connects.

    python benchmarks/interpreter.py [EVENTS]

Records are made beforehand, in frames of 512; what is timed is `Interpreter.interpret`, with redaction and
attribution on.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fixtures.journals import make_frames, record_exec, record_exit, record_fork, record_network, record_open, ring

from podcorder_agent.interpreter import Interpreter
from podcorder_agent.journal import Frame, FrameKind

FRAME_RECORDS = 512
PROCESSES = 200
ROUNDS = 3
Make = Callable[[random.Random, int], bytes]


def _header(chance: random.Random, sequence: int) -> dict[str, int]:
    tgid = 1000 + chance.randrange(PROCESSES)
    return {"sequence": sequence, "tgid": tgid, "process_start": 60 * 10**9 + tgid, "time": 10**11 + sequence * 1000}


def _open(chance: random.Random, sequence: int) -> bytes:
    path = b"/usr/lib/x86_64-linux-gnu/lib%d.so" % chance.randrange(500)
    return record_open(path, open_flags=0o2100000, inode=chance.randrange(1 << 22), **_header(chance, sequence))


def _exec(chance: random.Random, sequence: int) -> bytes:
    port = b"%d" % chance.randrange(1024, 65536)
    argv = (
        b"/usr/bin/python3",
        b"-m",
        b"http.server",
        b"--directory",
        b"/srv/www/static",
        b"--bind",
        b"127.0.0.1",
        port,
    )
    return record_exec(*argv, path=b"/usr/bin/python3.11", cwd=b"/srv/www", **_header(chance, sequence))


def _secret_exec(chance: random.Random, sequence: int) -> bytes:
    token = b"%030x" % chance.getrandbits(120)
    argv = (b"curl", b"-H", b"Authorization: Bearer " + token, b"https://user:" + token + b"@example.org/api")
    return record_exec(*argv, path=b"/usr/bin/curl", cwd=b"/root", **_header(chance, sequence))


def _connect(chance: random.Random, sequence: int) -> bytes:
    peer = bytes((10, 0, chance.randrange(4), chance.randrange(256)))
    port = chance.randrange(32768, 61000)
    return record_network(peer=peer, local_port=port, latency=chance.randrange(10**6), **_header(chance, sequence))


def _fork_and_exit(chance: random.Random, sequence: int) -> bytes:
    header = _header(chance, sequence)
    child = 10_000 + sequence // 2
    if sequence % 2:
        return record_fork(child_tgid=child, child_start=10**11 + child, **header)
    return record_exit(0, **{**header, "tgid": child - 1, "process_start": 10**11 + child - 1})


def _mix(chance: random.Random, sequence: int) -> bytes:
    draw = chance.random()
    return (_open if draw < 0.9 else _exec if draw < 0.95 else _connect)(chance, sequence)


MAKERS: dict[str, Make] = {
    "mix": _mix,
    "open": _open,
    "exec": _exec,
    "exec with secrets": _secret_exec,
    "connect": _connect,
    "fork, exit": _fork_and_exit,
}


def make_journal(make: Make, count: int) -> list[Frame]:
    """Frames with `count` records."""
    chance = random.Random(7)
    records = [make(chance, sequence) for sequence in range(1, count + 1)]
    payloads = [ring(*records[place : place + FRAME_RECORDS]) for place in range(0, count, FRAME_RECORDS)]
    return make_frames(*((FrameKind.RECORDS, each) for each in payloads))


def measure(frames: list[Frame]) -> tuple[int, float]:
    """(events, CPU seconds) of the best round."""
    best, events = float("inf"), 0
    for _ in range(ROUNDS):
        interpreter = Interpreter()
        begun = time.process_time()
        events = sum(len(interpreter.interpret(frame)) for frame in frames)
        best = min(best, time.process_time() - begun)
    return events, best


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    print(f"{'class':20}{'events/CPU-s':>14}{'us/event':>10}")
    for name, make in MAKERS.items():
        events, seconds = measure(make_journal(make, count))
        print(f"{name:20}{events / seconds:14,.0f}{seconds / events * 1e6:10.2f}")


if __name__ == "__main__":
    main()
