"""Filters on paths, addresses and ports, as the kernel half can hold them."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, ClassVar

from pydantic import Field

from podcorder_crds.models import Model
from podcorder_crds.rules import Keyed, Rule, Set

MAX_PREFIX_BYTES = 240
MAX_PREFIXES = 128
MAX_NETWORKS = 128
MAX_PORT_RANGES = 16

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_address(text: str) -> Address | None:
    """An address as Kubernetes reads them: without a zone, and IPv4 not wrapped into IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and (address.ipv4_mapped or address.scope_id):
        return None
    return address


def parse_cidr(text: str) -> tuple[Address, Network] | None:
    """The address that stands in a CIDR and the network it lies in, as Kubernetes reads them."""
    before, slash, length = text.partition("/")
    address = parse_address(before)
    if address is None or not slash or re.fullmatch("0|[1-9][0-9]{0,2}", length) is None:
        return None
    if int(length) > address.max_prefixlen:
        return None
    return address, ipaddress.ip_network((address, int(length)), strict=False)


def names_network(text: str) -> bool:
    parsed = parse_cidr(text)
    return parsed is None or parsed[0] == parsed[1].network_address


def is_canonical(text: str) -> bool:
    parsed = parse_cidr(text)
    return parsed is None or not names_network(text) or str(parsed[1]) == text


PathPrefix = Annotated[
    str,
    Field(min_length=1, max_length=MAX_PREFIX_BYTES),
    Rule("self.startsWith('/')", lambda text: text.startswith("/"), "is not absolute: begin the prefix with /"),
    Rule(
        f"size(bytes(self)) <= {MAX_PREFIX_BYTES}",
        lambda text: len(text.encode("utf-8", "surrogatepass")) <= MAX_PREFIX_BYTES,
        f"is longer than {MAX_PREFIX_BYTES} bytes: shorten the prefix",
    ),
    Rule(r"!self.contains('\x00')", lambda text: "\0" not in text, "holds a NUL, which no path does: remove it"),
    Rule(
        "!self.matches(r'//|/[.][.]?(/|$)')",
        lambda text: "//" not in text and not {".", ".."} & set(text.split("/")[1:]),
        "is not a resolved path: write it without //, . and ..",
    ),
    Rule("!self.contains('*')", lambda text: "*" not in text, "is a prefix, not a pattern: leave out the *"),
]
Cidr = Annotated[
    str,
    Field(min_length=1, max_length=64),
    Rule(
        "isCIDR(self) || isIP(self)",
        lambda text: parse_cidr(text) is not None or parse_address(text) is not None,
        "is not a CIDR: write it like 10.0.0.0/8 or 2001:db8::/32",
    ),
    Rule(
        "!isIP(self)",
        lambda text: parse_address(text) is None,
        "has no prefix length: add /32 for one IPv4 address, /128 for one IPv6 address",
    ),
    Rule(
        "!isCIDR(self) || cidr(self) == cidr(self).masked()",
        names_network,
        "names a host, not a network: set what stands behind the prefix length to 0, as in 10.0.0.0/8",
    ),
    Rule(
        "!isCIDR(self) || !(cidr(self) == cidr(self).masked()) || string(cidr(self)) == self",
        is_canonical,
        "is not in canonical form: write it in lower case and as short as it goes, as in 2001:db8::/32",
    ),
]
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]


def not_both(what: str) -> Rule:
    """The law that nothing is both included and excluded."""
    return Rule(
        "!has(self.include) || !has(self.exclude) || self.include.all(each, !(each in self.exclude))",
        lambda self: not set(self.include) & set(self.exclude),
        f"a {what} is both included and excluded: remove one",
    )


def at_most(limit: int, what: str) -> Rule:
    """The law that both lists together fit into the kernel's filter."""
    return Rule(
        f"(has(self.include) ? size(self.include) : 0) + (has(self.exclude) ? size(self.exclude) : 0) <= {limit}",
        lambda self: len(self.include) + len(self.exclude) <= limit,
        f"include and exclude hold more than {limit} {what} together: merge or remove some",
    )


class PathFilter(Model):
    """Which paths. The longest prefix that matches a path decides; where none does, the path is recorded if there is
    nothing in include, and left out if there is."""

    laws: ClassVar = (not_both("prefix"), at_most(MAX_PREFIXES, "prefixes"))

    include: Set[PathPrefix] = Field(default=(), max_length=MAX_PREFIXES)
    """Absolute prefixes of the paths to record, such as /etc/ for the directory and all below it. A prefix is no
    pattern, and holds no //, . and .. (paths are compared as the kernel has resolved them)."""
    exclude: Set[PathPrefix] = Field(default=(), max_length=MAX_PREFIXES)
    """Absolute prefixes of the paths not to record. A longer prefix in include takes its part back in."""


class AddressFilter(Model):
    """Which peers. The narrowest network that holds the peer's address decides; where none does, the peer is recorded
    if there is nothing in include, and left out if there is."""

    laws: ClassVar = (not_both("network"), at_most(MAX_NETWORKS, "networks"))

    include: Set[Cidr] = Field(default=(), max_length=MAX_NETWORKS)
    """Networks of the peers to record, in CIDR form such as 10.0.0.0/8 or 2001:db8::/32."""
    exclude: Set[Cidr] = Field(default=(), max_length=MAX_NETWORKS)
    """Networks of the peers not to record. A narrower network in include takes its part back in."""


class PortRange(Model):
    """One port, or all ports from `port` to `endPort`."""

    laws: ClassVar = (
        Rule(
            "!has(self.endPort) || self.endPort >= self.port",
            lambda self: self.last >= self.port,
            "endPort is below port: swap them",
        ),
    )

    port: Port
    """The port, or the first one of the range."""
    end_port: Port | None = None
    """The last port of the range, itself included; absent for a single port."""

    @property
    def last(self) -> int:
        return self.port if self.end_port is None else self.end_port

    def __str__(self) -> str:
        return f"port {self.port}" if self.last == self.port else f"ports {self.port} to {self.last}"


class PortFilter(Model):
    """Which ports: the peer's where the pod began to talk, the pod's own where the peer did. An excluded port stays out
    even where it is included too; with nothing in include, all ports are recorded but the excluded ones."""

    laws: ClassVar = (at_most(MAX_PORT_RANGES, "port ranges"),)

    include: Annotated[tuple[PortRange, ...], Keyed("port")] = Field(default=(), max_length=MAX_PORT_RANGES)
    """Ports to record."""
    exclude: Annotated[tuple[PortRange, ...], Keyed("port")] = Field(default=(), max_length=MAX_PORT_RANGES)
    """Ports not to record."""
