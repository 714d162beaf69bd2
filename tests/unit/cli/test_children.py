from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fixtures.terminals import Terminal

from podcorder_agent.cli.children import Unstartable, find_program

RUN = """
import sys
from podcorder_agent.cli.children import Unstartable, find_program, run
try:
    code = run(find_program(sys.argv[1]), sys.argv[1:], lambda: None, lambda: None)
except Unstartable as error:
    print(error, file=sys.stderr)
    code = error.exit_code
print("ended with", code, file=sys.stderr, flush=True)
sys.exit(code)
"""
# Tests that are run in the background have SIGINT ignored, and a shell cannot trap what was ignored from the start.
HEEDING = "import signal\nfor each in (1, 2, 3, 15):\n    signal.signal(each, signal.SIG_DFL)\n" + RUN
SECONDS = 20.0


def start(*command: str, code: str = HEEDING) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -TERM $$", 143)],
)
def test_the_exit_code_is_the_commands(script: str, code: int) -> None:
    """An exit code comes through as it is, a signal n as 128 + n."""
    process = start("/bin/sh", "-c", script)
    process.communicate(timeout=SECONDS)
    assert process.returncode == code


def test_the_command_starts_with_the_signals_we_had() -> None:
    """Nothing is blocked or ignored in the command that was not before: what Python ignores is reset."""
    command = ["/bin/sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status"]
    output, _ = start(*command, code=RUN).communicate(timeout=SECONDS)
    assert output == subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_us_is_the_commands(number: signal.Signals) -> None:
    """A signal that somebody sends goes to the command, which decides what it means."""
    name = number.name.removeprefix("SIG")
    process = start("/bin/sh", "-c", f"trap 'echo got; exit 9' {name}; echo ready; while :; do sleep 0.05; done")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    output, _ = process.communicate(timeout=SECONDS)
    assert (output, process.returncode) == ("got\n", 9)


def test_programs_are_found_as_a_shell_finds_them(tmp_path: Path) -> None:
    """127 for what is not there, 126 for what is no program."""
    assert find_program("sh").endswith("/sh")
    for command, code in (("no-such-program", 127), (str(tmp_path / "none"), 127), (str(tmp_path), 126)):
        with pytest.raises(Unstartable) as caught:
            find_program(command)
        assert caught.value.exit_code == code


def test_a_program_that_the_kernel_refuses_is_told(tmp_path: Path) -> None:
    """An executable file that is no program is code 126, with the kernel's reason."""
    path = tmp_path / "x"
    path.write_bytes(b"\x7fELF nonsense")
    path.chmod(0o755)
    process = start(str(path))
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 126
    assert "Exec format error" in errors


def start_in_terminal(*command: str) -> Terminal:
    return Terminal(sys.executable, "-c", HEEDING, *command)


def test_ctrl_c_is_the_commands_and_not_ours() -> None:
    """Ctrl-C reaches the command once; it may go on, and podcorder with it."""
    terminal = start_in_terminal("/bin/sh", "-c", "trap 'echo got' INT; echo ready; read x; read x; exit 5")
    terminal.expect(b"ready")
    terminal.type(b"\x03")
    terminal.expect(b"got")
    terminal.type(b"\n\n")
    terminal.expect(b"ended with 5")
    assert b"got" not in terminal.seen
    assert terminal.end() == 5


def test_ctrl_z_stops_both_and_both_go_on() -> None:
    """Ctrl-Z stops the command and podcorder; continued, the command has the terminal again."""
    terminal = start_in_terminal("/bin/sh", "-c", "echo ready; read x; echo read $x; exit 4")
    terminal.expect(b"ready")
    terminal.type(b"\x1a")
    assert terminal.stopped()
    os.kill(terminal.pid, signal.SIGCONT)
    terminal.type(b"again\n")
    terminal.expect(b"read again")
    terminal.expect(b"ended with 4")
    assert terminal.end() == 4


def test_an_interactive_shell_has_job_control() -> None:
    """A shell that is recorded is a shell: it has the terminal, stops and continues jobs."""
    terminal = start_in_terminal("/bin/bash", "--norc", "--noprofile", "-i")
    terminal.type(b"sleep 600\n")
    wait_for_foreground(terminal.pid, "sleep")
    terminal.type(b"\x1a")
    terminal.expect(b"Stopped")
    terminal.type(b"fg\n")
    terminal.expect(b"sleep 600")
    wait_for_foreground(terminal.pid, "sleep")
    terminal.type(b"\x03")
    terminal.expect(b"^C")
    terminal.type(b"exit 3\n")
    terminal.expect(b"ended with 3")
    assert terminal.end() == 3


def wait_for_foreground(pid: int, comm: str) -> None:
    """Waits until a descendant of this name runs as its terminal's foreground process."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for each in descendants(pid):
            try:
                name, _, rest = Path(f"/proc/{each}/stat").read_text().rpartition(")")
            except FileNotFoundError:
                continue
            state, _, group, _, _, foreground = rest.split()[:6]
            if name.endswith(f"({comm}") and state == "S" and group == foreground:
                return
        time.sleep(0.01)
    raise AssertionError(f"{comm} did not come to the foreground")


def descendants(pid: int) -> list[str]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return children + [below for child in children for below in descendants(int(child))]
