"""Which rows to show: by session, kind, path, peer and time."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from podcorder_agent.cli.rows import Row
from podcorder_agent.interpreter.events import EVENTS

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
KINDS = tuple(each.NAME.removeprefix("podcorder.") for each in EVENTS)
GROUPS = tuple(dict.fromkeys(each.split(".")[0] for each in KINDS))
PATHS = ("file.path", "process.executable.path", "podcorder.exec.filename")

_RELATIVE = re.compile(r"(\d+)\s*(s|m|h|d)(?: ago)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Filter:
    """What must hold of a row; None and empty hold of all."""

    session: str = ""
    """The session's id, or how it begins."""
    kinds: tuple[str, ...] = ()
    """Names as `file.open` or groups as `file`."""
    path: Callable[[str], bool] | None = None
    peer: Network | None = None
    since: int | None = None
    """Unix time, ns; the first to show."""
    until: int | None = None
    """Unix time, ns; the first not to show."""

    def wants(self, row: Row) -> bool:
        if (self.since is not None and row.time < self.since) or (self.until is not None and row.time >= self.until):
            return False
        if self.kinds and row.kind not in self.kinds and row.kind.split(".")[0] not in self.kinds:
            return False
        if self.session and not (row.text("podcorder.session.id") or "").startswith(self.session):
            return False
        if self.path is not None and not self._has_path(row, self.path):
            return False
        return self.peer is None or self._has_peer(row, self.peer)

    @staticmethod
    def _has_path(row: Row, matches: Callable[[str], bool]) -> bool:
        names = PATHS if row.kind.startswith("process.exec") else PATHS[:1]
        return any(matches(path) for path in map(row.text, names) if path is not None)

    @staticmethod
    def _has_peer(row: Row, network: Network) -> bool:
        text = row.text("network.peer.address")
        if text is None:
            return False
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False  # an OTLP file may hold anything
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return address in network or (mapped is not None and mapped in network)


def parse_kind(text: str) -> str:
    """A kind or group as rows have it. Raises ValueError."""
    kind = text.removeprefix("podcorder.")
    if kind not in KINDS and kind not in GROUPS:
        raise ValueError(f"{text!r} is no kind of event: one of {', '.join(GROUPS)}, or of {', '.join(KINDS)}")
    return kind


def parse_path(text: str) -> Callable[[str], bool]:
    """A prefix, or with *, ? or [ a pattern for the whole path."""
    if any(each in text for each in "*?["):
        return re.compile(fnmatch.translate(text)).match  # type: ignore[return-value]
    return lambda path: path.startswith(text)


def parse_peer(text: str) -> Network:
    """An address or a network. Raises ValueError."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no address and no network: write 10.1.2.3 or 10.0.0.0/8") from None


def parse_moment(text: str, now: float | None = None) -> int:
    """Unix time, ns, from `15m` (ago), or ISO 8601; without a zone it is this machine's. Raises ValueError."""
    relative = _RELATIVE.fullmatch(text.strip())
    if relative:
        moment = time.time() if now is None else now
        return int((moment - int(relative[1]) * _UNITS[relative[2]]) * 10**9)
    match = re.fullmatch(r"(.*\d:\d\d:\d\d)\.(\d{1,9})(Z|[+-]\d\d:?\d\d)?", text.strip())
    whole, fraction = (match[1] + (match[3] or ""), int(match[2].ljust(9, "0"))) if match else (text.strip(), 0)
    try:
        parsed = datetime.fromisoformat(whole)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 15m, 2026-01-31 or 2026-01-31T12:00:00Z") from None
    since_epoch = parsed.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since_epoch.days * 86400 + since_epoch.seconds) * 10**9 + fraction
