"""Which loader a recorder works with, and why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from podcorder_agent.recorder.bcc.headers import VARIABLE, find_headers
from podcorder_agent.recorder.bcc.library import find_bcc
from podcorder_agent.recorder.bcc.loader import BccLoader
from podcorder_agent.recorder.errors import BccMissing, BtfMissing, HeadersMissing
from podcorder_agent.recorder.kernel_types import BTF_PATH
from podcorder_agent.recorder.loaders import CoreLoader

_KERNEL_HAS_BTF = "the kernel describes its types (BTF)"
_HEADERS_INSTEAD = "the kernel does not describe its types (BTF), and its headers are in {}"
_NOTHING = "This kernel has no BTF (boot one built with CONFIG_DEBUG_INFO_BTF=y), and bcc cannot do without: {}"


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
    """`auto`: the objects compiled beforehand where the kernel has BTF, else bcc with the node's kernel headers.

    `objects` and `sources` are directories in place of the package's own; `trace` is the level of log lines, if any.
    Raises BccMissing and HeadersMissing where bcc is asked for and cannot be, BtfMissing where `auto` finds nothing
    that can.
    """
    if wanted == "core" or (wanted == "auto" and BTF_PATH.exists()):
        return Choice(CoreLoader(objects, trace), "asked for" if wanted == "core" else _KERNEL_HAS_BTF)
    try:
        find_bcc()
        headers = None if BTF_PATH.exists() and not os.environ.get(VARIABLE) else find_headers()
    except (BccMissing, HeadersMissing) as error:
        if wanted == "bcc":
            raise
        raise BtfMissing(_NOTHING.format(error)) from None
    reason = "asked for" if wanted == "bcc" else _HEADERS_INSTEAD.format(headers.built if headers else "")
    return Choice(BccLoader(objects, sources, trace, headers=headers), reason)
