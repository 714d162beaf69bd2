"""The two halves as child processes: the recorder, and the exporter."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from podcorder_agent.cli.errors import ExporterFailed, JournalUnusable, RecorderFailed
from podcorder_agent.errors import PodcorderError
from podcorder_agent.journal import JournalLocked
from podcorder_agent.mounts import mount_points

BPFFS = Path("/sys/fs/bpf")
PINS_PREFIX = "podcorder"
EXPORTER_UID = 61110
"""A uid that no system hands out (systemd's UIDS-GIDS lists it as unused): the exporter's alone, as is its group."""

EXPORT = "export"
"""Directory in the journal's for the file that is delivered to by default."""

OWN_NAMES = {EXPORT, "recorder.log", "exporter.log", "lock", "control.sock", "checkpoint.json"}
START_SECONDS = {"core": 30.0, "auto": 900.0, "bcc": 900.0}
"""By loader: one compiles, which takes an emulated machine minutes."""
STOP_SECONDS = 20.0
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None)


def pins_of(journal: Path) -> Path:
    """Each journal has pins of its own, so that two recordings at a time do not meet."""
    digest = hashlib.sha256(os.fsencode(journal.resolve())).hexdigest()
    return BPFFS / f"{PINS_PREFIX}_{digest[:16]}"


def make_journal(directory: Path) -> None:
    """Makes the journal's directory, readable by the exporter; one that holds anything else is left alone.

    Raises JournalUnusable, and JournalLocked where another recorder writes to it.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        names = set(os.listdir(directory))
        if names - OWN_NAMES and not any(each.endswith(".segment") for each in names):
            raise JournalUnusable(f"{directory} holds other things than a journal: name a directory of its own")
        os.chown(directory, 0, EXPORTER_UID)
        directory.chmod(0o750)
        (directory / EXPORT).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise JournalUnusable(f"cannot make the journal {directory}: {error.strerror}: name another") from None
    try:
        with open(directory / "lock", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JournalLocked(f"another recorder writes to {directory}: stop it, or name another --journal") from None
    except OSError:
        pass  # no lock yet: nobody records there


def handed_over(directory: Path) -> tuple[str, tuple[int, ...]]:
    """What to call the journal in a half, and the descriptors it must inherit for that.

    A half may not search a home directory that the journal lies in, for want of privileges; it is then handed the
    journal as an open directory.
    """
    directory = directory.resolve()
    if all(each.stat().st_mode & 0o001 for each in directory.parents):
        return str(directory), ()
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    return f"/proc/self/fd/{descriptor}", (descriptor,)


def begin_half() -> None:
    """For `preexec_fn`: a half does not outlive a podcorder that was killed, and heeds the signals that we block."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class Half:
    """One of the two processes, with what it said on stderr kept for its end."""

    def __init__(self, module: str, journal: Path, arguments: list[str], log: Path) -> None:
        self.log = log
        name, descriptors = handed_over(journal)
        self._module = module
        with open(log, "ab") as stderr:
            self._said = stderr.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, "--journal", name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # Ctrl-C in the terminal is the command's.
                start_new_session=True,
                preexec_fn=begin_half,
                pass_fds=descriptors,
            )
        for each in descriptors:
            os.close(each)

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    @property
    def fell(self) -> bool:
        """Whether a signal ended it that nobody here sent: the kernel short of memory, or somebody's kill -9."""
        return (self.process.poll() or 0) < 0

    def said(self) -> list[str]:
        """The lines of its stderr so far."""
        try:
            with open(self.log, "rb") as log:
                log.seek(self._said)
                text = log.read().decode(errors="replace")
        except OSError:
            return []  # somebody removed the journal
        return [each for each in text.splitlines() if each.strip()]

    def terminate(self, seconds: float = STOP_SECONDS) -> int:
        """Asks it to end and waits; one that does not is killed: nothing is lost by that, the journal has it."""
        deadline = time.monotonic() + seconds
        # Before it has come as far as to heed it, the signal would kill it.
        while self.running and not self._heeds(signal.SIGTERM) and time.monotonic() < deadline:
            time.sleep(0.005)
        if self.running:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def _heeds(self, number: int) -> bool:
        """Whether it has a handler for a signal (proc_pid_status(5), SigCgt)."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return False
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
        return bool(int(caught, 16) >> (number - 1) & 1)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def failure(self, default: type[PodcorderError]) -> PodcorderError:
        """Why it ended, in its own words and with its own exit code."""
        said = self.said()
        own = self.process.returncode
        if said and own is not None and own > 1:
            error = PodcorderError(said[-1].removeprefix("podcorder-exporter: "))
            error.exit_code = own
            return error
        return default(f"{self._module} ended with {own}{': ' + said[-1] if said else ''}: see {self.log}")


def start_recorder(journal: Path, ring_size: int | None, loader: str, trace: str) -> tuple[Half, dict[str, Any]]:
    """Starts the recorder and waits until it serves; with what it says of itself. Raises what it raised."""
    arguments = ["--pins", str(pins_of(journal)), "--loader", loader]
    arguments += ["--exporter-uid", str(EXPORTER_UID), "--exporter-gid", str(EXPORTER_UID)]
    if trace:
        arguments += ["--trace", trace]
    if ring_size is not None:
        arguments += ["--ring-size", str(ring_size)]
    half = Half("podcorder_agent.recorder", journal, arguments, journal / "recorder.log")
    line = _first_line(half.process, time.monotonic() + START_SECONDS[loader])
    try:
        ready = json.loads(line)
    except ValueError:
        half.terminate(5.0)
        raise half.failure(RecorderFailed) from None
    return half, ready


def start_exporter(journal: Path, target: str | None) -> Half:
    """Starts the exporter; `target` is a URL or a file, None leaves it to the environment."""
    arguments = ["--user", str(EXPORTER_UID)]
    if target is not None:
        arguments += ["--to", target]
    return Half("podcorder_agent.delivery", journal, arguments, journal / "exporter.log")


def exporter_trouble(half: Half, code: int) -> PodcorderError | None:
    """Why an exporter that was asked to end did not do so in good order."""
    return None if code == 0 else half.failure(ExporterFailed)


def mount_bpffs() -> None:
    """Mounts a bpffs where there is none, through the recorder's own probes. Raises PodcorderError."""
    if mount_points("bpf"):
        return
    done = subprocess.run(
        [sys.executable, "-m", "podcorder_agent.recorder.probes", "--mount", "--json"], capture_output=True, text=True
    )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        error = PodcorderError(said[-1] if said else f"no bpffs is mounted: mount -t bpf bpf {BPFFS}")
        error.exit_code = done.returncode
        raise error


def _first_line(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        more = os.read(process.stdout.fileno(), 65536) if ready else b""
        if not more:
            return b""
        line += more
    return line
