"""`podcorder record` from beginning to end, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SECONDS = 60.0
CGROUPS = Path("/sys/fs/cgroup")


def podcorder(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from podcorder_agent.cli import main; raise SystemExit(main())", *map(str, arguments)],
        capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, **options,
    )  # fmt: skip


def events(*arguments: str | Path) -> list[dict[str, Any]]:
    done = podcorder("events", "--output", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def leftovers() -> set[str]:
    pins = {str(each) for each in Path("/sys/fs/bpf").glob("podcorder_*")}
    return pins | {
        str(each) for top in (CGROUPS, CGROUPS / "unified") for each in top.glob("podcorder/*") if each.is_dir()
    }


@pytest.fixture
def clean() -> Iterator[None]:
    """Nothing of a recording stays behind."""
    before = leftovers()
    yield
    assert leftovers() <= before


@pytest.mark.usefixtures("clean")
def test_a_command_is_recorded_from_its_first_instruction_to_its_end(tmp_path: Path) -> None:
    """The exit code is the command's, the tree shows all it ran, and its first record is its own exec, not ours."""
    journal = tmp_path / "journal"
    script = f"echo hello > {tmp_path}/written; /bin/cat {tmp_path}/written; exit 7"
    done = podcorder("record", "--journal", journal, "--", "/bin/sh", "-c", script)
    assert done.returncode == 7, done.stderr
    assert done.stdout.startswith("hello\n")
    assert f"/bin/cat {tmp_path}/written" in done.stdout
    assert f"write {tmp_path}/written" in done.stdout
    assert "lost 0" in done.stderr
    found = events("--journal", journal)
    by_session = [each for each in found if each.get("podcorder.session.kind") == "Command"]
    assert [each["event_name"] for each in by_session[:2]] == ["podcorder.session.start", "podcorder.process.exec"]
    assert by_session[1]["process.command_args"] == ["/bin/sh", "-c", script]
    assert by_session[-1]["event_name"] == "podcorder.session.end"
    assert by_session[-1]["process.exit.code"] == 7
    assert not any("partial" in each.get("podcorder.flags", ()) for each in by_session)


@pytest.mark.usefixtures("clean")
def test_what_was_exported_is_what_the_journal_says(tmp_path: Path) -> None:
    """Every event of the session is in the OTLP file as well, with the same attributes, its end included."""
    journal = tmp_path / "journal"
    done = podcorder("record", "--journal", journal, "--", "/bin/ls", "/etc")
    assert done.returncode == 0
    assert "not all was delivered" not in done.stderr, done.stderr
    exported = events("--otlp", journal / "export/events.otlp.jsonl")
    own = [each for each in events("--journal", journal) if "podcorder.session.id" in each]
    assert own
    assert [each for each in exported if "podcorder.session.id" in each] == own


@pytest.mark.usefixtures("clean")
def test_a_journal_is_appended_to(tmp_path: Path) -> None:
    """A second recording on a journal adds to it and shows itself alone."""
    journal = tmp_path / "journal"
    first = podcorder("record", "--journal", journal, "--", "/bin/echo", "one")
    second = podcorder("record", "--journal", journal, "--", "/bin/echo", "two")
    assert (first.returncode, second.returncode) == (0, 0), second.stderr
    assert "/bin/echo two" in second.stdout
    assert "/bin/echo one" not in second.stdout
    sessions = podcorder("sessions", "--journal", journal, "--output", "json").stdout.splitlines()
    assert [json.loads(each)["command"] for each in sessions] == ["/bin/echo one", "/bin/echo two"]


@pytest.mark.usefixtures("clean")
def test_a_policy_filters(tmp_path: Path) -> None:
    """With a policy only what it asks for is recorded."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        f"events:\n  files:\n    access: [Write]\n    outcomes: [Succeeded]\n    paths: {{include: [{tmp_path}/yes]}}\n"
    )
    script = f"echo > {tmp_path}/yes; echo > {tmp_path}/no; cat {tmp_path}/yes"
    journal = tmp_path / "journal"
    done = podcorder("record", "--policy", policy, "--journal", journal, "--", "/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr
    found = events("--journal", journal, "--kind", "file", "--kind", "network", "--kind", "process.exec")
    assert [(each["event_name"], each["file.path"]) for each in found] == [("podcorder.file.open", f"{tmp_path}/yes")]


@pytest.mark.usefixtures("clean")
def test_a_second_recorder_on_a_journal_is_refused(tmp_path: Path) -> None:
    """While one recording writes a journal another is told so, and the first goes on undisturbed."""
    journal = tmp_path / "journal"
    main = [sys.executable, "-c", "from podcorder_agent.cli import main; raise SystemExit(main())"]
    first = subprocess.Popen(
        [*main, "record", "--journal", str(journal), "--", "/bin/sh", "-c", f"touch {tmp_path}/runs; exec sleep 600"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / "runs").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    second = podcorder("record", "--journal", journal, "--", "true")
    assert second.returncode == 24
    assert second.stderr.startswith("podcorder: another recorder writes to")
    first.send_signal(signal.SIGTERM)
    output, errors = first.communicate(timeout=SECONDS)
    assert first.returncode == 128 + signal.SIGTERM, errors
    assert b"SIGTERM" in output


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("half", ["recorder", "delivery"])
def test_a_half_that_is_killed_is_started_again(half: str, tmp_path: Path) -> None:
    """kill -9 of a half under the command costs the recording nothing, and the person is told."""
    journal, seen, go_on = tmp_path / "journal", tmp_path / "seen", tmp_path / "go-on"
    script = f": > {seen}; until [ -e {go_on} ]; do sleep 0.05; done; for i in $(seq 1009); do : < /dev/null; done"
    main = [sys.executable, "-c", "from podcorder_agent.cli import main; raise SystemExit(main())"]
    recording = subprocess.Popen(
        [*main, "record", "--journal", str(journal), "--", "/bin/sh", "-c", script],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + SECONDS
    while not seen.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child_of(recording.pid, f"podcorder_agent.{half}"), signal.SIGKILL)
    go_on.touch()
    _, errors = recording.communicate(timeout=SECONDS)
    assert recording.returncode == 0, errors
    assert "was killed: it is started again" in errors
    assert "not all" not in errors
    assert "lost 0" in errors
    for source in (("--journal", journal), ("--otlp", journal / "export/events.otlp.jsonl")):
        found = events(*source, "--kind", "file.open", "--path", "/dev/null")
        assert len(found) >= 1009


@pytest.mark.usefixtures("clean")
def test_the_halves_end_with_a_podcorder_that_is_killed(tmp_path: Path) -> None:
    """kill -9 of podcorder leaves no process behind; what stays pinned, doctor removes."""
    main = [sys.executable, "-c", "from podcorder_agent.cli import main; raise SystemExit(main())"]
    recording = subprocess.Popen(
        [*main, "record", "--journal", str(tmp_path / "journal"), "--", "/bin/sh", "-c",
         f"echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {tmp_path}/seen; exec sleep 600"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + SECONDS
    while not (tmp_path / "seen").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    left = [child_of(recording.pid, f"podcorder_agent.{half}") for half in ("recorder", "delivery")]
    while Path(f"/proc/{left[1]}").stat().st_uid == 0:  # until the exporter has let go of its privileges
        assert time.monotonic() < deadline
        time.sleep(0.01)
    recording.kill()
    recording.wait()
    os.kill(int((tmp_path / "seen").read_text()), signal.SIGKILL)
    while any(Path(f"/proc/{pid}/cgroup").exists() for pid in left):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert podcorder("doctor", "--clean").returncode == 0


def child_of(parent: int, module: str) -> int:
    """The pid of the child that runs a module."""
    for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return int(pid)
    raise AssertionError(f"{module} does not run below {parent}")


@pytest.mark.usefixtures("clean")
def test_a_full_disk_loses_nothing_that_the_ring_holds(tmp_path: Path) -> None:
    """What a full disk refused is said, stays pinned, and is in the journal after the next recording with room."""
    journal = tmp_path / "journal"
    journal.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", journal], check=True)
    try:
        script = "for i in $(seq 2003); do : < /dev/null; done"
        done = podcorder("record", "--journal", journal, "--otlp", tmp_path / "o.jsonl", "--", "/bin/sh", "-c", script)
        assert done.returncode == 0
        assert "not all is in the journal: There is no room left" in done.stderr
        subprocess.run(["mount", "-o", "remount,size=16m", journal], check=True)
        again = podcorder("record", "--journal", journal, "--otlp", tmp_path / "o.jsonl", "--", "true")
        assert "not all" not in again.stderr
        assert len(events("--journal", journal, "--kind", "file.open", "--path", "/dev/null")) >= 2003
    finally:
        subprocess.run(["umount", journal], check=True)


@pytest.mark.usefixtures("clean")
def test_background_processes_outlive_the_recording(tmp_path: Path) -> None:
    """What the command leaves running is left running, and that it is not recorded any more is said."""
    script = f"sleep 600 >/dev/null 2>&1 & echo $! > {tmp_path}/pid"
    done = podcorder("record", "--journal", tmp_path / "journal", "--", "/bin/sh", "-c", script)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert "1 process of the command still running, no longer recorded" in done.stderr
        os.kill(pid, 0)
    finally:
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while Path(f"/proc/{pid}/cgroup").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert podcorder("doctor", "--clean").returncode == 0


def test_doctor_tries_every_rung_and_says_so() -> None:
    """The report names each capability with a rung that was tried, and the exit code says that all can be recorded."""
    done = podcorder("doctor", "--output", "json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert report["able"]
    assert {"processes", "files", "network_tcp"} <= {each["capability"] for each in report["rungs"] if each["ok"]}
