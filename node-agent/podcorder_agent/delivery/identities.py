"""The exporter needs no privileges: it lets go of them for good."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from podcorder_agent.delivery.errors import PrivilegesKept

_PR_SET_PDEATHSIG = 1
_PR_GET_PDEATHSIG = 2
_PR_SET_NO_NEW_PRIVS = 38


def become(uid: int, journal: Path) -> None:
    """Run as `uid` from now on, with no group but the journal's, by which it may be read. Raises PrivilegesKept.

    Changing from root to another uid clears all capabilities (capabilities(7)).
    """
    if uid == 0:
        raise PrivilegesKept("--user 0 would keep root's privileges: give a uid of the exporter's own.")
    try:
        if os.geteuid() == 0:
            # Root's own group would open more than the journal.
            group = journal.stat().st_gid or uid
            parent, number = os.getppid(), _signal_of_parents_death()
            os.setgroups([])
            os.setresgid(group, group, group)
            os.setresuid(uid, uid, uid)
            _end_with_parent(parent, number)
        elif os.getuid() != uid:
            raise PrivilegesKept(f"Only root can become the user {uid}: start as root, or without --user.")
    except OSError as error:
        raise PrivilegesKept(f"Privileges cannot be dropped ({error.strerror}): start with CAP_SETUID.") from error


def _signal_of_parents_death() -> int:
    """What the one who started us has set; 0 where nothing."""
    number = ctypes.c_int()
    ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0)
    return number.value


def _end_with_parent(parent: int, number: int) -> None:
    """Sets it again: the kernel forgets it when the credentials change (prctl(2), PR_SET_PDEATHSIG)."""
    if number:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)


def forbid_new_privileges() -> None:
    """No program executed from here on gains any (prctl(2)). Raises PrivilegesKept."""
    if ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise PrivilegesKept("The kernel refuses no_new_privs: use Linux 3.5 or newer.")
