"""The log lines of a debug build, as the kernel's trace buffer has them (bpf/log.bpf.h)."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from podcorder_agent.classes import CLASS_NAMES, REASON_NAMES
from podcorder_agent.cli.errors import TracefsMissing, TraceUnusable
from podcorder_agent.cli.rows import quoted, show_time
from podcorder_agent.cli.terminals import Style
from podcorder_agent.cli.trees import clock
from podcorder_agent.loaders import TRACE_LEVELS
from podcorder_agent.mounts import mount_points

_EVENT = "events/bpf_trace/bpf_trace_printk"
_OURS = 'bpf_string ~ "podcorder: *"'
_INSTANCE = "podcorder_"
_READ_BYTES = 65536
_NAMES = {"class": CLASS_NAMES, "reason": REASON_NAMES}
_LINE = re.compile(
    rb"^ *(?P<comm>.{0,16}?)-(?P<thread>\d+) +(?:\([\d -]+\) +)?\[(?P<cpu>\d+)\] +(?:\S+ +)?"
    rb"(?P<seconds>\d+)\.(?P<micros>\d{6}): bpf_trace_printk: podcorder: (?P<level>\w+): (?P<text>.*)$"
)
"""A task's name may hold anything, but at most 15 bytes of it: too few for the rest of a line."""
_COLOURS = {"error": "red", "info": "bold"}
_LOST = re.compile(rb"^CPU:\d+ \[LOST (\d+) EVENTS\]$")


@dataclass(frozen=True, slots=True)
class Line:
    """One log line."""

    booted: int
    """Time since the boot, ns; exact to 1000."""
    cpu: int
    comm: str
    """Of the thread that ran the program; `<...>` where the kernel has forgotten it."""
    thread: int
    level: str
    text: str
    fields: dict[str, str]
    """What follows the text as `name=value`; a class or a reason by its name."""


def parse_line(line: bytes) -> Line | None:
    """None for what is no line of ours: others write to the same buffer."""
    found = _LINE.match(line)
    if found is None:
        return None
    level = found["level"].decode(errors="replace")
    if level not in TRACE_LEVELS:
        return None
    text, _, rest = found["text"].decode(errors="replace").partition(": ")
    fields = {name: _name(name, value) for name, _, value in (each.partition("=") for each in rest.split())}
    booted = int(found["seconds"]) * 10**9 + int(found["micros"]) * 1000
    comm = found["comm"].decode(errors="replace")
    return Line(booted, int(found["cpu"]), comm, int(found["thread"]), level, text, fields)


def _name(field: str, value: str) -> str:
    names = _NAMES.get(field, ())
    return names[int(value)] if value.isdigit() and int(value) < len(names) else value


def includes(chosen: str, level: str) -> bool:
    """Whether lines of a level are shown where another one is chosen: each includes those before it."""
    return TRACE_LEVELS.index(level) <= TRACE_LEVELS.index(chosen)


def to_json(line: Line, boot: int) -> str:
    """One JSON object in one line; `boot`: when the machine was started, Unix time, ns."""
    values = asdict(line)
    return json.dumps({"time": show_time(boot + values.pop("booted")), **values}, ensure_ascii=False)


def draw(line: Line, boot: int, style: Style) -> str:
    """One line for people; `boot` as for to_json()."""
    moment = boot + line.booted
    fields = " ".join(f"{name}={value}" for name, value in line.fields.items())
    text = f"{line.text}: {fields}" if fields else line.text
    text = style.paint(text, _COLOURS[line.level]) if line.level in _COLOURS else text
    return f"{clock(moment)}{moment // 1000 % 1000:03} {line.level:<5} cpu {line.cpu:<3} {_who(line):<24} {text}"


def _who(line: Line) -> str:
    return f"{quoted(line.comm)}[{line.thread}]"


class Trace:
    """An instance of the trace buffer with our lines alone: whoever reads the machine's own buffer loses none by it."""

    def __init__(self, instance: Path) -> None:
        """Raises OSError."""
        self._pipe = os.open(instance / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.lost = 0
        """Lines that were overwritten before they were read."""

    def close(self) -> None:
        os.close(self._pipe)

    def lines(self, output: int) -> Iterator[Line]:
        """Each as it comes, until nobody reads the descriptor `output` any more."""
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        poll.register(output, 0)  # errors are always told
        rest = b""
        while True:
            if output in dict(poll.poll()):
                return
            with suppress(BlockingIOError):
                *lines, rest = (rest + os.read(self._pipe, _READ_BYTES)).split(b"\n")
                yield from self._parse(lines)

    def _parse(self, lines: list[bytes]) -> Iterator[Line]:
        for each in lines:
            if lost := _LOST.match(each):
                self.lost += int(lost[1])
            if line := parse_line(each):
                yield line


@contextmanager
def open_trace(instances: Path) -> Iterator[Trace]:
    """From now on, with an instance that is gone afterwards; raises TraceUnusable."""
    try:
        instance, trace = _make_instance(instances)
    except OSError as error:
        raise TraceUnusable(
            f"the kernel's trace buffer cannot be used ({error.strerror}): "
            f"run on the node itself as root, with Linux 5.9 or newer that is not locked down"
        ) from None
    try:
        yield trace
    finally:
        trace.close()
        instance.rmdir()


def find_instances() -> Path:
    """Where instances of the trace buffer are made. Raises TracefsMissing."""
    mounted = mount_points("tracefs")
    if not mounted:
        raise TracefsMissing("tracefs is not mounted: mount -t tracefs tracefs /sys/kernel/tracing")
    return mounted[0] / "instances"


def _make_instance(instances: Path) -> tuple[Path, Trace]:
    with _locked(instances):
        instance = instances / f"{_INSTANCE}{os.getpid()}_{time.monotonic_ns()}"
        instance.mkdir()
        try:
            trace = Trace(instance)
        except OSError:
            instance.rmdir()
            raise
    try:
        (instance / "trace_clock").write_text("boot")
        (instance / "buffer_percent").write_text("0")  # one line is enough to be woken
        (instance / _EVENT / "filter").write_text(_OURS)
        (instance / _EVENT / "enable").write_text("1")
    except OSError:
        trace.close()
        instance.rmdir()
        raise
    return instance, trace


def remove_left() -> list[Path]:
    """Instances whose reader was killed, now removed: one that is read the kernel does not give away."""
    removed: list[Path] = []
    with suppress(TracefsMissing, OSError), _locked(find_instances()) as instances:
        for each in sorted(instances.glob(f"{_INSTANCE}*")):
            with suppress(OSError):
                each.rmdir()
                removed.append(each)
    return removed


@contextmanager
def _locked(instances: Path) -> Iterator[Path]:
    """Between an instance's making and its opening nobody takes it for one left behind."""
    descriptor = os.open(instances, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield instances
    finally:
        os.close(descriptor)
