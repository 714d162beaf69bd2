"""Filters on ports as sets that can be united exactly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from podcorder_crds.filters import MAX_PORT_RANGES, PortFilter, PortRange

LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class PortSet:
    """The ports that are recorded. 0, which no filter can name, is in the set where nothing has to be included."""

    ranges: tuple[tuple[int, int], ...]
    """First and last ports, sorted; no two of them touch."""

    def __or__(self, other: PortSet) -> PortSet:
        """Records what one of the two records."""
        return PortSet(_merge((*self.ranges, *other.ranges)))


def read_ports(ports: PortFilter) -> PortSet:
    included = [(each.port, each.last) for each in ports.include] or [(0, LAST_PORT)]
    left: list[tuple[int, int]] = []
    for first, last in _merge(included):
        for gone_first, gone_last in _merge((each.port, each.last) for each in ports.exclude):
            if first <= gone_last and gone_first <= last:
                if first < gone_first:
                    left.append((first, gone_first - 1))
                first = gone_last + 1
        if first <= last:
            left.append((first, last))
    return PortSet(tuple(left))


def write_ports(ports: PortSet) -> PortFilter:
    """The filter that lets just these ports through, or all where it would be too large for the kernel."""
    rest = _others(ports.ranges)
    if ports.ranges and ports.ranges[0][0] == 0:
        return PortFilter(exclude=_write(rest)) if len(rest) <= MAX_PORT_RANGES else PortFilter()
    if not ports.ranges:
        return PortFilter(include=_write([(1, LAST_PORT)]), exclude=_write([(1, LAST_PORT)]))
    return PortFilter(include=_write(ports.ranges)) if len(ports.ranges) <= MAX_PORT_RANGES else PortFilter()


def _merge(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def _others(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    others, begin = [], 0
    for first, last in ranges:
        if begin < first:
            others.append((begin, first - 1))
        begin = last + 1
    if begin <= LAST_PORT:
        others.append((begin, LAST_PORT))
    return others


def _write(ranges: Iterable[tuple[int, int]]) -> tuple[PortRange, ...]:
    return tuple(
        PortRange.model_validate({"port": first} if first == last else {"port": first, "endPort": last})
        for first, last in ranges
    )
