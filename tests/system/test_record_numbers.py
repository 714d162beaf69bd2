"""Records keep numbers of their own where one program interrupts another while it takes one."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from fixtures.faulty_kernels import compile_changed
from fixtures.recordings import Recording, assert_law

from podcorder_agent.interpreter import Interpreter
from podcorder_agent.interpreter.events import FileOpen, NetworkConnect
from podcorder_agent.interpreter.sequences import LEVEL_SHIFT
from podcorder_agent.journal import Reader

Record = Callable[..., Recording]

TAKING = "\tnumber = now->last[level] + 1;\n"
SLOWLY = "\tfor (int i = 0; i < 400; i++)\n\t\tbpf_ktime_get_ns();\n"
"""Between reading a count and writing it, so that interrupts fall there."""
CONNECTS = 2003
WORKLOAD = """
import os, socket, struct
first, last = min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0))
open("/sys/class/net/lo/queues/rx-0/rps_cpus", "w").write(f"{1 << last:x}")
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
if not os.fork():
    os.sched_setaffinity(0, {first})
    while True:
        listener.accept()[0].close()
opener = os.fork()
if not opener:
    os.sched_setaffinity(0, {last})
    while True:
        os.close(os.open("/dev/null", os.O_RDONLY))
os.sched_setaffinity(0, {first})
for _ in range(COUNT):
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("2i", 1, 0))
        client.connect(listener.getsockname())
os.killpg(0, 9)
"""


@pytest.fixture
def slow_objects(tmp_path: Path) -> Path:
    """Plain raw tracepoints alone, which take long over a number."""
    made = compile_changed(tmp_path, "numbers.bpf.h", TAKING, TAKING + SLOWLY)
    for typed in made.glob("*.bpf.o"):
        if typed.name != "identities.bpf.o":
            typed.unlink()
    return made


def test_numbers_are_unique_under_nesting(record: Record, slow_objects: Path) -> None:
    """Connections end in interrupts on the CPU that opens files: none of their records is taken for another."""
    recording = record(loader="core", arguments=["--objects", str(slow_objects)])
    recording.select(["open", "connect"])
    shell = 'mount -t sysfs sysfs /sys && ip link set lo up && exec setsid -w "$@"'
    words = ["unshare", "-nm", "sh", "-c", shell, "sh", sys.executable, "-c", re.sub("COUNT", str(CONNECTS), WORKLOAD)]
    recording.cgroup.run(*words, check=False)
    recording.stop()
    events, counters = recording.interpret()
    assert_law(events, counters, {"open": FileOpen, "connect": NetworkConnect})
    assert not any(map(any, counters["lost"]))  # runs that the kernel skips cost no record: the call's end makes it
    connects = [each for each in events if isinstance(each, NetworkConnect)]
    assert len(connects) == CONNECTS
    levels = {int(each.id.rpartition(".")[2]) >> LEVEL_SHIFT & 15 for each in connects}
    assert levels >= {1, 2}, "no connection ended while an open took its number"
    interpreter = Interpreter()
    for frame in Reader(recording.journal).read():
        interpreter.interpret(frame)
    assert interpreter.duplicates == 0
