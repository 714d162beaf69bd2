"""Runs the command to be recorded: inside its cgroup from its first instruction, with its terminal and its signals.

The command gets the terminal where it has one of its own to talk to (job control as in the C library's manual,
"Implementing a Shell"); where podcorder stands in a pipeline it shares the process group, as any filter would.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import termios
from collections.abc import Callable, Sequence

WATCHED = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

NOT_FOUND = 127
NOT_EXECUTABLE = 126


class Unstartable(Exception):
    """The command cannot be started; as in every shell this is exit code 126 or 127."""

    def __init__(self, command: str, reason: str, exit_code: int) -> None:
        super().__init__(f"cannot start {command}: {reason}")
        self.exit_code = exit_code


def find_program(command: str) -> str:
    """The path of a program as a shell would find it. Raises Unstartable."""
    found = shutil.which(command)
    if found is None:
        if os.path.exists(command) and "/" in command:
            raise Unstartable(command, "it is no program that may be executed", NOT_EXECUTABLE)
        raise Unstartable(command, "there is no such program", NOT_FOUND)
    return found


class Terminal:
    """The controlling terminal, to be lent to the command."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own = os.getpgrp()
        self._attributes = termios.tcgetattr(descriptor)

    @classmethod
    def at_hand(cls) -> Terminal | None:
        """The terminal where this process stands in the foreground and talks to it on both ends, else None."""
        if not (os.isatty(0) and os.isatty(1)):
            return None
        try:
            descriptor = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            os.close(descriptor)
            return None
        return cls(descriptor)

    def give(self, group: int) -> None:
        """Makes a process group the foreground one; SIGTTOU must be ignored or blocked."""
        with contextlib.suppress(OSError):
            os.tcsetpgrp(self._descriptor, group)

    def take_back(self, *, restore: bool) -> None:
        """Makes our own group the foreground one; `restore` also undoes what a killed command left behind."""
        self.give(self._own)
        if restore:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._attributes)

    @property
    def is_ours(self) -> bool:
        return os.tcgetpgrp(self._descriptor) == self._own

    def close(self) -> None:
        os.close(self._descriptor)


def run(program: str, arguments: Sequence[str], enter: Callable[[], None], tick: Callable[[], None]) -> int:
    """Runs a program to its end and returns its exit code, 128 + n where signal n ended it. Raises Unstartable.

    `enter` is called in the child just before the exec; `tick` here, several times a second.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*WATCHED, signal.SIGTTOU})
    terminal = Terminal.at_hand()
    try:
        child = _start(program, arguments, enter, terminal, mask)
        status = _wait(child, terminal, tick)
    finally:
        if terminal is not None:
            terminal.close()
        # A signal that was meant for the command, and came too late for it, is not ours.
        while signal.sigtimedwait(WATCHED, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _start(
    program: str,
    arguments: Sequence[str],
    enter: Callable[[], None],
    terminal: Terminal | None,
    mask: set[signal.Signals | int],
) -> int:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        try:
            if terminal is not None:
                os.setpgid(0, 0)
                terminal.give(os.getpgrp())
            for each in (*WATCHED, *IGNORED_BY_PYTHON):
                # What was ignored when we were started, by nohup say, stays so.
                if each in IGNORED_BY_PYTHON or signal.getsignal(each) is not signal.SIG_IGN:
                    signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            enter()
            os.execv(program, list(arguments))
        except OSError as error:
            os.write(writing, str(error.errno).encode())
        finally:
            os._exit(NOT_EXECUTABLE)
    os.close(writing)
    if terminal is not None:
        with contextlib.suppress(OSError):
            os.setpgid(child, child)  # whoever of the two comes first
    with os.fdopen(reading, "rb") as pipe:
        failure = pipe.read()
    if failure:
        os.waitpid(child, 0)
        if terminal is not None:
            terminal.take_back(restore=False)
        number = int(failure)
        raise Unstartable(program, os.strerror(number), NOT_FOUND if number == errno.ENOENT else NOT_EXECUTABLE)
    return child


def _wait(child: int, terminal: Terminal | None, tick: Callable[[], None]) -> int:
    while True:
        received = signal.sigtimedwait(WATCHED, 0.2)
        tick()
        if received is not None and received.si_signo != signal.SIGCHLD:
            # What the terminal sends to a whole group has reached the command by itself.
            if received.si_code <= 0 or terminal is not None:
                _send(child, received.si_signo, group=terminal is not None)
            continue
        pid, status = os.waitpid(child, os.WNOHANG | (os.WUNTRACED if terminal is not None else 0))
        if pid == 0:
            continue
        if os.WIFSTOPPED(status):
            assert terminal is not None
            _pause(child, terminal)
            continue
        if terminal is not None:
            terminal.take_back(restore=os.WIFSIGNALED(status))
        return status


def _pause(child: int, terminal: Terminal) -> None:
    """The command was stopped, by Ctrl-Z say: stop as well, and go on together."""
    terminal.take_back(restore=False)
    os.kill(os.getpid(), signal.SIGSTOP)
    if terminal.is_ours:
        terminal.give(child)
    _send(child, signal.SIGCONT, group=True)


def _send(child: int, number: int, *, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if group else os.kill)(child, number)
