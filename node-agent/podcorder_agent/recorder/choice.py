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
        return {"name": self.loader.name, "reason": self.reason}


def choose_loader(wanted: str, objects: Path | None = None, sources: Path | None = None) -> Choice:
    """`auto`: the objects compiled beforehand. Raises BccMissing where bcc is asked for and is not there.

    `objects` and `sources` are directories in place of the package's own.
    """
    if wanted == "bcc":
        find_bcc()
        return Choice(BccLoader(objects, sources), "asked for")
    if wanted == "core":
        return Choice(CoreLoader(objects), "asked for")
    described = BTF_PATH.exists()
    return Choice(CoreLoader(objects), _KERNEL_HAS_BTF if described else _KERNEL_HAS_NO_BTF)
