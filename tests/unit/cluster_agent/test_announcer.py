"""The telling of sessions to a recorder without a kernel: real control socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fixtures.journals import GENERATION
from fixtures.unprivileged_recorder import UnprivilegedRecorder

from podcorder_agent.cluster import announcer as module
from podcorder_agent.cluster.announcer import Announcer
from podcorder_agent.cluster.recovery import Recovery
from podcorder_agent.cluster.streams import Drop, Listed, Put
from podcorder_agent.control.client import ControlClient

KEY = b"\xff" * 32
ANNOUNCING = {"key": "ff" * 32, "hold_ms": 2000, "unannounced_ms": module.UNANNOUNCED_MS}


def make_session(name: str, *, uid: str = "", ended: bool = False) -> Put:
    conditions = [{"type": "Ended", "status": "True"}] * ended
    metadata = {"namespace": "shop", "name": name, "uid": uid or f"uid of {name}"}
    spec = {"kind": "Exec", "origin": "Announced", "user": {"username": "alice"}}
    return Put({"metadata": metadata, "spec": spec, "status": {"conditions": conditions}})


class Announcing:
    """An announcer at work."""

    def __init__(self, directory: Path, key: bytes | None = KEY) -> None:
        self.announcer = Announcer(ControlClient(directory / "control.sock", "announcer"), key)
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.announcer.run, args=(self.stop,), daemon=True)
        self.thread.start()

    def tell(self, *changes: Put | Drop | Listed) -> None:
        for each in changes:
            self.announcer.tell_sessions(each)

    def tell_generation(self, recovery: Recovery | None = None, generation: int = GENERATION) -> None:
        self.announcer.tell_generation(generation, recovery or Recovery())


@contextmanager
def announcing(directory: Path, key: bytes | None = KEY) -> Iterator[Announcing]:
    found = Announcing(directory, key)
    try:
        yield found
    finally:
        found.stop.set()
        found.thread.join(10)


def facts(recorder: UnprivilegedRecorder) -> list[Any]:
    """The names of the sessions told of, and the data of what else was told."""
    found = [each for each in list(recorder.requests) if each["kind"] == "fact"]
    return [each["data"]["name"] if each["subject"] == "announcement" else each["data"] for each in found]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_load_is_told_the_key_first_and_then_each_session_once(tmp_path: Path) -> None:
    """Nothing before it is known what the load has been told already; a session that changes is not told again."""
    with UnprivilegedRecorder(tmp_path) as recorder, announcing(tmp_path) as node:
        node.tell(make_session("a"), make_session("b"), Listed(frozenset([("shop", "a"), ("shop", "b")])))
        time.sleep(0.1)
        assert facts(recorder) == []
        node.tell_generation()
        until(lambda: len(facts(recorder)) == 3)
        node.tell(make_session("a"), make_session("b", ended=True), make_session("c"))
        until(lambda: len(facts(recorder)) == 4)
        assert facts(recorder) == [ANNOUNCING, "a", "b", "c"]
        assert node.announcer.told == 3


def test_what_an_earlier_exporter_told_is_not_told_again(tmp_path: Path) -> None:
    """Unless the key is another one than it had; a session of the same name that came later is another session."""
    earlier = Recovery(announced={"uid of a": 1}, announcing=ANNOUNCING)
    with UnprivilegedRecorder(tmp_path) as recorder:
        with announcing(tmp_path) as node:
            node.tell(make_session("a"))
            node.tell_generation(earlier)
            node.tell(make_session("b"), make_session("a", uid="other"))
            until(lambda: facts(recorder) == ["b", "a"])
        with announcing(tmp_path) as node:
            node.tell(make_session("a"))
            node.tell_generation(Recovery(announced=earlier.announced, announcing=ANNOUNCING | {"key": "old"}))
            until(lambda: facts(recorder)[2:] == [ANNOUNCING])


def test_a_recorder_that_begins_anew_is_told_all_anew(tmp_path: Path) -> None:
    """Of what has not ended and is still there, whether the following tells of the new load or its own answer does."""
    with announcing(tmp_path) as node:
        with UnprivilegedRecorder(tmp_path) as recorder:
            node.tell(*map(make_session, "abc"))
            node.tell_generation()
            until(lambda: facts(recorder) == [ANNOUNCING, "a", "b", "c"])
        node.tell(make_session("b", ended=True), Drop(("shop", "c")))
        with UnprivilegedRecorder(tmp_path) as recorder:
            recorder.generation = GENERATION + 1
            node.tell_generation(generation=GENERATION + 1)
            until(lambda: facts(recorder) == [ANNOUNCING, "a"])
        with UnprivilegedRecorder(tmp_path) as recorder:
            recorder.generation = GENERATION + 2
            node.tell(make_session("d"))
            until(lambda: facts(recorder) == ["d", ANNOUNCING, "a", "d"])


def test_a_recorder_that_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    """Of a session that has been deleted meanwhile too: what it did is in the kernel's ring."""
    with announcing(tmp_path) as node:
        node.tell_generation()
        node.tell(make_session("a"), make_session("b"), Drop(("shop", "b")), make_session("c"))
        node.tell(Listed(frozenset([("shop", "a")])))
        time.sleep(0.1)
        with UnprivilegedRecorder(tmp_path) as recorder:
            until(lambda: facts(recorder) == [ANNOUNCING, "a", "b", "c"])


def test_the_journal_is_told_that_there_are_no_others(tmp_path: Path) -> None:
    """After all that were told here before, whenever the recorder comes back."""
    with announcing(tmp_path) as node:
        node.tell_generation()
        node.tell(make_session("a"))
        node.announcer.tell_current()
        time.sleep(0.1)
        with UnprivilegedRecorder(tmp_path) as recorder:
            until(lambda: len(facts(recorder)) == 3)
            assert facts(recorder) == [ANNOUNCING, "a", {}]
            assert recorder.requests[-1]["subject"] == "current"


def test_an_announcement_waits_for_nothing(tmp_path: Path) -> None:
    """From the watch to the recorder it takes less than a session's first process needs to start."""
    with UnprivilegedRecorder(tmp_path) as recorder, announcing(tmp_path) as node:
        node.tell_generation()
        until(lambda: facts(recorder) == [ANNOUNCING])
        times = []
        for number in range(1, 21):
            begun = time.monotonic()
            node.tell(make_session(f"s{number}"))
            while node.announcer.told < number:
                time.sleep(0.0005)
            times.append(time.monotonic() - begun)
        assert sorted(times)[10] < 0.02


def test_the_journal_is_told_of_a_bounded_number(tmp_path: Path) -> None:
    """Of more the oldest are left out."""
    with announcing(tmp_path) as node:
        node.tell_generation()
        node.tell(*(make_session(f"s{number}") for number in range(module.MOST_KNOWN + 2)))
        with UnprivilegedRecorder(tmp_path) as recorder:
            until(lambda: len(facts(recorder)) == module.MOST_KNOWN + 1)
            time.sleep(0.1)
            assert facts(recorder)[1] == "s2"
            assert len(facts(recorder)) == module.MOST_KNOWN + 1


def test_without_a_key_nothing_is_told(tmp_path: Path) -> None:
    """Then nothing waits for announcements."""
    with UnprivilegedRecorder(tmp_path) as recorder, announcing(tmp_path, None) as node:
        node.tell_generation()
        node.tell(make_session("a"))
        time.sleep(0.2)
        assert recorder.requests == []
