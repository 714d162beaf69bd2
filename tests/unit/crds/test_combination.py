from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from fixtures.recorded_events import (
    Command,
    Event,
    File,
    Peer,
    lets_address_through,
    lets_path_through,
    lets_port_through,
    records,
)
from fixtures.spec_strategies import filters, networks, port_filters, prefixes, specs
from hypothesis import given
from hypothesis import strategies as st

from podcorder_crds import (
    AddressFilter,
    Mode,
    OnRecorderFailure,
    PathFilter,
    PortFilter,
    Rules,
    SessionRecordingPolicySpec,
)
from podcorder_crds.combination import combination_of, combine

paths = st.lists(st.sampled_from("abcd"), max_size=5).map(lambda parts: "/" + "".join(f"{part}/" for part in parts))
addresses = st.tuples(st.sampled_from((4, 6)), st.integers(0, 255)).map(
    lambda drawn: str(
        ipaddress.IPv4Address(drawn[1] << 24 | 1) if drawn[0] == 4 else ipaddress.IPv6Address(drawn[1] << 120 | 1)
    )
)
port_numbers = st.integers(0, 22) | st.integers(65528, 65535)
outcomes = st.sampled_from(("Succeeded", "Failed"))
some_events = st.one_of(
    st.builds(Command, outcomes),
    st.builds(File, outcomes, st.sampled_from(("Read", "Write")), paths),
    st.builds(Peer, st.sampled_from(("Outbound", "Inbound")), addresses, port_numbers),
)


def read(spec: dict[str, Any]) -> SessionRecordingPolicySpec:
    return SessionRecordingPolicySpec.model_validate(spec)


@given(st.lists(specs, min_size=1, max_size=4), some_events)
def test_what_one_policy_records_the_combination_records(chosen: list[dict[str, Any]], event: Event) -> None:
    """No policy ever loses an event because another one concerns the same session."""
    parsed = [read(each) for each in chosen]
    if any(records(each.events, event) for each in parsed):
        assert records(combine(parsed).events, event)


@given(specs, some_events)
def test_one_policy_alone_is_what_it_says(chosen: dict[str, Any], event: Event) -> None:
    """A combination of one records just what the policy does."""
    parsed = read(chosen)
    assert records(combine([parsed]).events, event) == records(parsed.events, event)


@given(st.lists(filters(prefixes), min_size=1, max_size=4), paths)
def test_paths_are_united_exactly(chosen: list[dict[str, Any]], path: str) -> None:
    """Where policies differ in paths alone, a path is recorded just if one of them records it."""
    united = combine(read({"events": {"files": {"paths": each}}}) for each in chosen).events.files
    assert united is not None
    assert lets_path_through(united.paths, path) == any(
        lets_path_through(PathFilter.model_validate(each), path) for each in chosen
    )


@given(st.lists(filters(networks), min_size=1, max_size=4), addresses)
def test_peers_are_united_exactly(chosen: list[dict[str, Any]], address: str) -> None:
    """Where policies differ in peers alone, a peer is recorded just if one of them records it."""
    united = combine(read({"events": {"network": {"peers": each}}}) for each in chosen).events.network
    assert united is not None
    assert lets_address_through(united.peers, address) == any(
        lets_address_through(AddressFilter.model_validate(each), address) for each in chosen
    )


@given(st.lists(port_filters(), min_size=1, max_size=4))
def test_ports_are_united_exactly(chosen: list[dict[str, Any]]) -> None:
    """Where policies differ in ports alone, a port is recorded just if one of them records it."""
    united = combine(read({"events": {"network": {"ports": each}}}) for each in chosen).events.network
    assert united is not None
    parsed = [PortFilter.model_validate(each) for each in chosen]
    for port in (*range(23), *range(65528, 65536)):
        assert lets_port_through(united.ports, port) == any(lets_port_through(each, port) for each in parsed), port


@given(specs, specs, specs)
def test_order_and_repetition_change_nothing(one: Any, two: Any, three: Any) -> None:
    """Combining is commutative, associative and idempotent."""
    a, b, c = (combination_of(read(each)) for each in (one, two, three))
    assert a | b == b | a
    assert (a | b) | c == a | (b | c)
    assert a | a == a
    assert (a | b).events == (b | a).events


@pytest.mark.parametrize(
    ("section", "dimension", "make"),
    [
        ("files", "paths", lambda n: f"/{n}/"),
        ("network", "peers", lambda n: f"10.{n // 256}.{n % 256}.0/24"),
        ("network", "ports", lambda n: {"port": 2 * n + 1}),
    ],
)
def test_what_the_kernel_cannot_hold_is_recorded_whole(section: str, dimension: str, make: Any) -> None:
    """Where the united filter has more entries than the kernel holds, everything of its dimension is recorded."""
    limit = 16 if dimension == "ports" else 128
    halves = [
        read({"events": {section: {dimension: {"include": [make(n) for n in numbers]}}}})
        for numbers in (range(limit), range(limit, limit + 1))
    ]
    whole = getattr(combine(halves).events, section)
    assert getattr(whole, dimension) == type(getattr(whole, dimension))()
    fitting = getattr(combine(halves[:1]).events, section)
    assert len(getattr(fitting, dimension).include) == limit


@given(st.lists(specs, min_size=1, max_size=4))
def test_the_strictest_and_the_loosest(chosen: list[dict[str, Any]]) -> None:
    """Of modes, ends and redaction the strictest holds, of rate limits the loosest; rules and labels are all there."""
    parsed = [read(each) for each in chosen]
    made = combine(parsed)
    assert (made.mode is Mode.STRICT) == any(each.mode is Mode.STRICT for each in parsed)
    assert (made.on_recorder_failure is OnRecorderFailure.END) == any(
        each.on_recorder_failure is OnRecorderFailure.END for each in parsed
    )
    assert (made.redaction_defaults is Rules.ENABLED) == any(
        each.redaction.defaults is Rules.ENABLED for each in parsed
    )
    assert set(made.redaction_rules) == {rule for each in parsed for rule in each.redaction.rules}
    rates = [each.rate_limits.records_per_second for each in parsed]
    assert made.records_per_second == (None if None in rates else max(rate for rate in rates if rate))
    assert made.labels == tuple(sorted({each.routing.label for each in parsed if each.routing}))
