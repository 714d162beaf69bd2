"""Filters on paths, addresses and ports, as the kernel half can hold them."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from podcorder_crds.models import Model, Set

MAX_PREFIX_BYTES = 240
MAX_PREFIXES = 128
MAX_NETWORKS = 128
MAX_PORT_RANGES = 16


def check_prefix(prefix: str) -> str:
    """Raises ValueError for a prefix that no resolved path can ever begin with."""
    if not prefix.startswith("/"):
        raise ValueError(f"{prefix!r} is not absolute: begin the prefix with /")
    if len(prefix.encode()) > MAX_PREFIX_BYTES:
        raise ValueError(f"the prefix is longer than {MAX_PREFIX_BYTES} bytes: shorten it")
    if "\0" in prefix:
        raise ValueError("a path holds no NUL: remove it")
    if any(part in ("", ".", "..") for part in prefix.strip("/").split("/")) and prefix != "/":
        raise ValueError(f"{prefix!r} is not a resolved path: write it without //, . and ..")
    if "*" in prefix:
        raise ValueError(f"{prefix!r} is a prefix, not a pattern: leave out the *")
    return prefix


def check_network(network: str) -> str:
    """Returns the network in its canonical form. Raises ValueError for what is not a CIDR."""
    try:
        parsed = ipaddress.ip_network(network, strict=False)
    except ValueError:
        raise ValueError(f"{network!r} is not a CIDR: write it like 10.0.0.0/8 or 2001:db8::/32") from None
    if "/" not in network:
        raise ValueError(f"{network!r} has no prefix length: write {parsed}")
    if ipaddress.ip_interface(network).ip != parsed.network_address:
        raise ValueError(f"{network!r} names a host, not a network: write {parsed}")
    return str(parsed)


Prefix = Annotated[str, Field(min_length=1, max_length=MAX_PREFIX_BYTES), AfterValidator(check_prefix)]
Network = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(check_network)]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]


class PathFilter(Model):
    """Which paths: the longest prefix that matches decides; with nothing to include, all but the excluded."""

    include: Set[Prefix] = Field(default=(), max_length=MAX_PREFIXES)
    """Prefixes of paths to record, such as /etc/ for all below that directory."""
    exclude: Set[Prefix] = Field(default=(), max_length=MAX_PREFIXES)
    """Prefixes of paths not to record."""

    @model_validator(mode="after")
    def check(self) -> Self:
        refuse_both("prefix", self.include, self.exclude)
        refuse_many("prefixes", len(self.include) + len(self.exclude), MAX_PREFIXES)
        return self


class AddressFilter(Model):
    """Which peers: the narrowest network that matches decides; with nothing to include, all but the excluded."""

    include: Set[Network] = Field(default=(), max_length=MAX_NETWORKS)
    """Networks (CIDR) of the peers to record."""
    exclude: Set[Network] = Field(default=(), max_length=MAX_NETWORKS)
    """Networks (CIDR) of the peers not to record."""

    @model_validator(mode="after")
    def check(self) -> Self:
        refuse_both("network", self.include, self.exclude)
        refuse_many("networks", len(self.include) + len(self.exclude), MAX_NETWORKS)
        return self


class PortRange(Model):
    """One port, or all from `port` to `endPort`."""

    port: Port
    """The port, or the first of the range."""
    end_port: Port | None = None
    """The last port of the range, itself included."""

    @property
    def last(self) -> int:
        return self.port if self.end_port is None else self.end_port

    @model_validator(mode="after")
    def check(self) -> Self:
        if self.last < self.port:
            raise ValueError(f"endPort {self.last} is below port {self.port}: swap them")
        return self

    def __str__(self) -> str:
        return f"port {self.port}" if self.last == self.port else f"ports {self.port} to {self.last}"


class PortFilter(Model):
    """Which ports (the peer's; for Inbound the local one): an excluded port stays out even where it is included too."""

    include: Set[PortRange] = Field(default=(), max_length=MAX_PORT_RANGES)
    """Ports to record."""
    exclude: Set[PortRange] = Field(default=(), max_length=MAX_PORT_RANGES)
    """Ports not to record."""

    @model_validator(mode="after")
    def check(self) -> Self:
        refuse_many("port ranges", len(self.include) + len(self.exclude), MAX_PORT_RANGES)
        return self


def refuse_both(what: str, include: tuple[str, ...], exclude: tuple[str, ...]) -> None:
    for item in include:
        if item in exclude:
            raise ValueError(f"the {what} {item} is both included and excluded: remove one")


def refuse_many(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise ValueError(f"{count} {what} are more than the kernel's filter holds ({limit}): merge or remove some")
