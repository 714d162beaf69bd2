"""A kernel that does not describe its types (BTF), or not all that the programs ask for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fixtures.faulty_kernels import WHOLE, WITHOUT_EITHER, Examination, FaultyKernel, StayingRecorder, lack_names

Lack = Callable[..., FaultyKernel]


@pytest.fixture(scope="module")
def whole() -> Examination:
    """What this machine can do as it is."""
    return WHOLE.examine("--loader", "core")


@pytest.fixture
def lack(tmp_path: Path) -> Lack:
    return lambda *names: lack_names(tmp_path, *names)


def run(kernel: FaultyKernel, directory: Path, *command: str) -> tuple[list[dict[str, Any]], str]:
    """Record a command: the events, and what was said to the person."""
    journal = directory / "journal"
    done = kernel.podcorder("record", "--loader", "core", "--journal", journal, "--", *command)
    assert done.returncode == 0, done.stderr
    told = kernel.podcorder("events", "--journal", journal, "--output", "json")
    return [json.loads(line) for line in told.stdout.splitlines()], done.stderr


@pytest.mark.parametrize(("loader", "code"), [("core", 19), ("auto", 19), ("bcc", 48)])
def test_without_types_the_command_line_says_so(loader: str, code: int, tmp_path: Path) -> None:
    """`podcorder record` ends with its own exit code and the remedy, and so does what stands in for types and is not
    there either; the command does not run."""
    command = ("--loader", loader, "--journal", tmp_path / "journal", "--", "touch", tmp_path / "run")
    done = WITHOUT_EITHER.podcorder("record", *command)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == 1
    if loader != "bcc":
        assert "This kernel has no BTF" in done.stderr
        assert "CONFIG_DEBUG_INFO_BTF=y" in done.stderr
    if loader != "core":
        assert "BCC_KERNEL_SOURCE" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("loader", ["core", "auto"])
def test_without_types_doctor_names_the_remedy(loader: str) -> None:
    """The check of BTF fails, and says what to boot."""
    examined = WITHOUT_EITHER.examine("--loader", loader)
    assert examined.exit_code == 8
    assert "CONFIG_DEBUG_INFO_BTF=y" in examined.remedy("btf")


@pytest.mark.parametrize("loader", ["core", "auto"])
def test_without_types_a_nodes_recorder_stays(loader: str, tmp_path: Path) -> None:
    """All capabilities have failed for that reason, and it goes on answering."""
    with StayingRecorder(WITHOUT_EITHER, tmp_path, "--loader", loader) as recorder:
        (reason,) = recorder.reasons()
        assert reason.startswith("This kernel has no BTF")
        assert recorder.stop() == f"{reason}\n"


def test_a_field_that_may_be_missing_is_left_out(lack: Lack, whole: Examination, tmp_path: Path) -> None:
    """Without CONFIG_AUDIT there is no login id: every rung loads all the same, and events come without it."""
    login = ("/bin/sh", "-c", "echo 1000 >/proc/self/loginuid; exec /bin/true")
    uids = {}
    for name, kernel in (("whole", WHOLE), ("lacking", lack("loginuid"))):
        events, said = run(kernel, tmp_path / name, *login)
        assert "cannot be recorded" not in said
        executed = [each for each in events if each["event_name"] == "podcorder.process.exec"][-1]
        uids[name] = executed.get("podcorder.audit.login_uid")
    assert uids == {"whole": 1000, "lacking": None}
    assert kernel.examine("--loader", "core").first_rungs() == whole.first_rungs()


@pytest.mark.parametrize("name", ["io_kiocb", "btf_trace_io_uring_complete"])
def test_without_a_type_a_lesser_rung_is_taken(name: str, lack: Lack, whole: Examination, tmp_path: Path) -> None:
    """Opens through io_uring need it: files step down and say so, what needs it not stays where it is."""
    kernel = lack(name)
    examined = kernel.examine("--loader", "core")
    taken = examined.first_rungs()
    concerned = {"files", "network_tcp", "network_accept"}
    assert {each for each in taken if taken[each] != whole.first_rungs()[each]} == concerned
    missing = "struct io_kiocb." if name == "io_kiocb" else "tracepoint or function io_uring_complete"
    for each in concerned:
        assert any(missing in reason for reason in examined.reasons(each).values())
    events, _ = run(kernel, tmp_path, "/bin/cat", "/etc/passwd")
    assert "podcorder.file.open" in {each["event_name"] for each in events}


def test_without_a_tracepoints_type_the_others_record(lack: Lack, tmp_path: Path) -> None:
    """A program whose tracepoint the kernel's types do not name is refused by that name; the rest is recorded."""
    kernel = lack("btf_trace_sched_process_exec")
    reasons = kernel.examine("--loader", "core").reasons("processes")
    assert reasons == {
        "tp_btf": "this kernel has no tracepoint or function sched_process_exec",
        "raw_tp": "this kernel has no tracepoint sched_process_exec",
    }
    events, said = run(kernel, tmp_path, "/bin/cat", "/etc/passwd")
    assert "podcorder.file.open" in {each["event_name"] for each in events}
    assert "processes cannot be recorded here: " in said
