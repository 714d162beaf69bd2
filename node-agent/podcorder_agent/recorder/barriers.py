"""Waiting for the programs that run at this moment: they run inside RCU, which membarrier(2) waits for."""

from __future__ import annotations

import ctypes
import os
import time

_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
_MEMBARRIER_GLOBAL = 1


def wait_for_programs() -> None:
    """Return when every program that was running has ended; some ten milliseconds."""
    number = _MEMBARRIER[os.uname().machine]
    if ctypes.CDLL(None).syscall(number, _MEMBARRIER_GLOBAL, 0, 0) != 0:
        time.sleep(0.1)  # nohz_full kernels refuse it; a program runs for microseconds
