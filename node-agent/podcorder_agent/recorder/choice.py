"""Which loader a recorder works with, and why."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from podcorder_agent.recorder.bcc.kernel_types import BTF_PATH
from podcorder_agent.recorder.bcc.library import find_bcc
from podcorder_agent.recorder.bcc.loader import BccLoader
from podcorder_agent.recorder.loaders import CoreLoader

_KERNEL_HAS_BTF = "the kernel describes its types (BTF)"
_KERNEL_HAS_NO_BTF = "the kernel does not describe its types (BTF), and no loader does without"


class Choice(NamedTuple):
    """A loader and the reason for it, as notes and `doctor` show it."""

    loader: CoreLoader
    reason: str

    def described(self) -> dict[str, str]:
        """With the level of the log lines where it is a debug build, which an auditor should know: it is slow."""
        if not self.loader.trace:
            return {"name": self.loader.name, "reason": self.reason}
        reason = f"{self.reason}; a debug build, which is slow: it writes log lines of level {self.loader.trace}"
        return {"name": self.loader.name, "reason": reason, "trace": self.loader.trace}


def choose_loader(wanted: str, objects: Path | None = None, sources: Path | None = None, trace: str = "") -> Choice:
    """`auto`: the objects compiled beforehand. Raises BccMissing where bcc is asked for and is not there.

    `objects` and `sources` are directories in place of the package's own; `trace` is the level of log lines, if any.
    """
    if wanted == "bcc":
        find_bcc()
        return Choice(BccLoader(objects, sources, trace), "asked for")
    if wanted == "core":
        return Choice(CoreLoader(objects, trace), "asked for")
    described = BTF_PATH.exists()
    return Choice(CoreLoader(objects, trace), _KERNEL_HAS_BTF if described else _KERNEL_HAS_NO_BTF)
