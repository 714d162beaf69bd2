"""Filters by prefix as functions that can be united exactly: paths and networks alike."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from podcorder_crds.filters import MAX_NETWORKS, MAX_PREFIXES, AddressFilter, PathFilter


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What is recorded, by the longest prefix that matches. Only changes stand in `entries`, so that two filters that
    decide alike at every prefix are equal."""

    default: bool
    """Whether what no entry matches is recorded."""
    entries: tuple[tuple[str, bool], ...] = ()
    """Prefixes and whether what they match is recorded, sorted."""

    def __or__(self, other: Verdicts) -> Verdicts:
        """Records what one of the two records."""
        mine, theirs = dict(self.entries), dict(other.entries)
        default = self.default or other.default
        return reduce(
            default,
            {
                prefix: _decide(prefix, mine, self.default) or _decide(prefix, theirs, other.default)
                for prefix in mine.keys() | theirs.keys()
            },
        )


def reduce(default: bool, entries: Mapping[str, bool]) -> Verdicts:
    """The verdicts without the entries that change nothing."""
    kept: dict[str, bool] = {}
    # A prefix sorts before all that it is a prefix of.
    for prefix in sorted(entries):
        if entries[prefix] != _decide(prefix, kept, default):
            kept[prefix] = entries[prefix]
    return Verdicts(default, tuple(sorted(kept.items())))


def _decide(text: str, entries: Mapping[str, bool], default: bool) -> bool:
    for end in range(len(text), -1, -1):
        if (found := entries.get(text[:end])) is not None:
            return found
    return default


def read_paths(paths: PathFilter) -> Verdicts:
    return _read(paths.include, paths.exclude)


def write_paths(verdicts: Verdicts) -> PathFilter:
    """The filter that decides so about every absolute path, or one that lets all through where it would be too large
    for the kernel. (What is no absolute path is recorded whatever a filter says.)"""
    included, excluded = _split(verdicts, ["/"])
    if len(included) + len(excluded) > MAX_PREFIXES:
        return PathFilter()
    return PathFilter(include=included, exclude=excluded)


def read_networks(peers: AddressFilter) -> Verdicts:
    """Prefixes are 4 or 6 and the network's bits."""
    return _read(map(_bits, peers.include), map(_bits, peers.exclude))


def write_networks(verdicts: Verdicts) -> AddressFilter:
    """The filter that decides so about every address, or one that lets all through where it would be too large for the
    kernel."""
    included, excluded = _split(verdicts, ["4", "6"])
    if len(included) + len(excluded) > MAX_NETWORKS:
        return AddressFilter()
    return AddressFilter(include=tuple(map(_network, included)), exclude=tuple(map(_network, excluded)))


def _read(include: Iterable[str], exclude: Iterable[str]) -> Verdicts:
    entries = dict.fromkeys(include, True)
    default = not entries
    return reduce(default, entries | dict.fromkeys(exclude, False))


def _split(verdicts: Verdicts, roots: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What to include and what to exclude. Whatever is included, the rest is left out: so the roots, under which
    everything lies, are included too where the rest is recorded."""
    included = [prefix for prefix, recorded in verdicts.entries if recorded]
    excluded = [prefix for prefix, recorded in verdicts.entries if not recorded]
    if verdicts.default and included:
        included += [root for root in roots if root not in excluded]
    return tuple(sorted(included)), tuple(excluded)


def _bits(cidr: str) -> str:
    network = ipaddress.ip_network(cidr)
    bits = f"{int(network.network_address):0{network.max_prefixlen}b}"
    return f"{network.version}{bits[: network.prefixlen]}"


def _network(bits: str) -> str:
    version, prefix = bits[0], bits[1:]
    length = 32 if version == "4" else 128
    number = int(prefix.ljust(length, "0"), 2)
    address = ipaddress.IPv4Address(number) if version == "4" else ipaddress.IPv6Address(number)
    return f"{address}/{len(prefix)}"
