from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from fixtures.recorded_events import Command, Event, File, Peer, records
from fixtures.spec_strategies import specs
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.control.messages import check_settings
from podcorder_agent.interpreter import Redaction, events
from podcorder_agent.interpreter.slots import Slot
from podcorder_agent.interpreter.subjects import SessionKind as RecordedKind
from podcorder_agent.policies import compile_slot
from podcorder_crds import ConfiguredPolicy, PolicyKind, SessionKind

KINDS = (SessionKind.CONTAINER, SessionKind.EXEC, SessionKind.PROBE, SessionKind.DEBUG)

paths = st.lists(st.sampled_from("abcd"), max_size=5).map(lambda parts: "/" + "".join(f"{part}/" for part in parts))
addresses = st.tuples(st.sampled_from((4, 6)), st.integers(0, 255)).map(
    lambda drawn: str(
        ipaddress.IPv4Address(drawn[1] << 24 | 1) if drawn[0] == 4 else ipaddress.IPv6Address(drawn[1] << 120 | 1)
    )
)
outcomes = st.sampled_from(("Succeeded", "Failed"))
some_events = st.one_of(
    st.builds(Command, outcomes),
    st.builds(File, outcomes, st.sampled_from(("Read", "Write")), paths),
    st.builds(
        Peer,
        st.sampled_from(("Outbound", "Inbound")),
        addresses,
        st.integers(0, 22) | st.integers(65528, 65535),
    ),
)
asked_kinds = st.sets(st.sampled_from(KINDS), min_size=1)


@st.composite
def policies(draw: st.DrawFn) -> ConfiguredPolicy:
    """A policy as a node's config has it, with any spec."""
    spec = draw(specs) | {"sessions": sorted(draw(asked_kinds))}
    return make_policy(draw(st.sampled_from("abc")), spec, namespace=draw(st.none() | st.just("shop")))


def make_policy(name: str, spec: dict[str, Any], namespace: str | None = "shop") -> ConfiguredPolicy:
    kind = PolicyKind.POLICY if namespace else PolicyKind.CLUSTER_POLICY
    told = {"kind": kind, "name": name, "generation": 1, "spec": spec}
    return ConfiguredPolicy.model_validate(told | ({"namespace": namespace} if namespace else {}))


def by_kind(chosen: list[ConfiguredPolicy]) -> dict[SessionKind, list[ConfiguredPolicy]]:
    return {kind: found for kind in KINDS if (found := [each for each in chosen if kind in each.spec.sessions])}


def compiled(*chosen: ConfiguredPolicy) -> Any:
    return compile_slot(by_kind(list(chosen)))


def parse(*chosen: ConfiguredPolicy) -> Slot:
    return Slot.parse(compiled(*chosen), Redaction())


def to_events(event: Event) -> list[events.Event]:
    """What the interpreter makes of it."""
    found: list[events.Event]
    match event:
        case Command("Succeeded"):
            found = [events.ProcessExec("1"), events.ProcessFork("1"), events.ProcessExit("1")]
        case Command(_):
            found = [events.ProcessExecFailed("1")]
        case File(outcome, access, path):
            kind = events.FileOpen if outcome == "Succeeded" else events.FileOpenFailed
            found = [kind("1", path=(path.rstrip("/") or "/").encode(), access=access.lower())]
        case Peer("Outbound", address, port):
            told = {"peer_address": address, "peer_port": port}
            found = [events.NetworkConnect("1", **told), events.NetworkDatagram("1", **told)]
        case Peer(_, address, port):
            found = [events.NetworkAccept("1", peer_address=address, local_port=port)]
    return found


def takes(slot: Slot, kind: SessionKind, event: Event) -> bool:
    """Whether the kernel half records it and the interpreter lets it out."""
    wanted = slot.find(RecordedKind(kind))
    return wanted is not None and all(slot.admits(each) and wanted.admits(each) for each in to_events(event))


distinct = st.lists(policies(), min_size=1, max_size=4, unique_by=lambda each: (each.namespace, each.name))


@given(distinct, some_events)
def test_what_one_policy_asks_for_a_kind_the_slot_takes(chosen: list[ConfiguredPolicy], event: Event) -> None:
    """No policy ever loses an event because another one concerns the same container."""
    slot = parse(*chosen)
    for policy in chosen:
        if records(policy.spec.events, event):
            assert all(takes(slot, kind, event) for kind in policy.spec.sessions)


@given(distinct, some_events)
def test_nothing_is_taken_of_a_kind_that_nobody_asks_for(chosen: list[ConfiguredPolicy], event: Event) -> None:
    """Nor what a kind's only policy does not ask for, though others want it of other kinds."""
    slot = parse(*chosen)
    for kind in KINDS:
        asking = [each for each in chosen if kind in each.spec.sessions]
        if not asking:
            assert slot.find(RecordedKind(kind)) is None
        elif len(asking) == 1 and takes(slot, kind, event):
            assert records(asking[0].spec.events, event)


@given(distinct)
def test_the_recorder_takes_whatever_policies_allow(chosen: list[ConfiguredPolicy]) -> None:
    """Settings of any policies pass the recorder's own check, those of each kind as well."""
    settings = compiled(*chosen)
    for each in (settings, *settings["kinds"].values()):
        check_settings(each)


@given(distinct)
def test_order_changes_nothing(chosen: list[ConfiguredPolicy]) -> None:
    """The same policies are the same slot, which is how the agent knows that nothing has to be configured."""
    assert compiled(*chosen) == compiled(*reversed(chosen))


@pytest.mark.parametrize(
    ("sessions", "own"),
    [(["Exec"], False), (["Exec", "Probe"], False), (["Container"], True), (["Debug", "Exec"], True)],
)
def test_the_own_session_is_left_out_where_nobody_asks_for_it(sessions: list[str], own: bool) -> None:
    """So that a policy for execs costs a busy container nothing; a debug session is an ephemeral container's own."""
    assert compiled(make_policy("p", {"sessions": sessions, "events": {"files": {}}}))["own_session"] is own


END = {"events": {"commands": {}}, "mode": "Strict", "onRecorderFailure": "End"}


@pytest.mark.parametrize(
    ("sessions", "ends"),
    [(["Debug", "Exec"], ["Exec", "Debug"]), (["Exec", "Container"], ["Exec"]), (["Debug", "Probe"], ["Debug"])],
)
def test_what_a_policy_would_have_ended_is_named(sessions: list[str], ends: list[str]) -> None:
    """Of the kinds that it asks for, execs and debug containers alone, whatever other policies say of them."""
    other = make_policy("other", {"events": {"commands": {}}, "sessions": list(KINDS)})
    assert compiled(make_policy("p", END | {"sessions": sessions}), other)["ends"] == ends
    assert compiled(other)["ends"] == []


def test_a_policy_ends_nothing_of_a_kind_that_it_does_not_name() -> None:
    """One for containers has what a pod that looks into its node runs recorded as a debug session, and lets it run."""
    policy = make_policy("p", END | {"sessions": ["Container", "Exec"]})
    assert compile_slot({SessionKind.DEBUG: [policy], SessionKind.EXEC: [policy]})["ends"] == ["Exec"]


@pytest.mark.parametrize(("sessions", "told_apart"), [(["Exec"], True), (["Exec", "Probe"], False), (["Probe"], True)])
def test_execs_are_recorded_where_probes_must_be_told_from_them(sessions: list[str], told_apart: bool) -> None:
    """By what a session runs first; who asked for files alone is given files alone."""
    settings = compiled(make_policy("p", {"sessions": sessions, "events": {"files": {}}}))
    assert ("exec" in settings["events"]) is told_apart
    assert all("exec" not in each["events"] for each in settings["kinds"].values())


def test_policies_are_named_with_their_namespaces() -> None:
    """As an event's podcorder.policy has them: each once, those of the cluster last."""
    base = make_policy("base", {"sessions": ["Exec", "Container"], "events": {"files": {}}}, namespace=None)
    shells = make_policy("exec", {"sessions": ["Exec"], "events": {"commands": {}}, "routing": {"label": "pci"}})
    settings = compiled(base, shells)
    assert settings["policy"] == "shop/exec, base (cluster)"
    assert settings["kinds"]["Exec"]["labels"] == ["pci"]
    assert settings["kinds"]["Container"]["labels"] == []


def test_a_container_that_no_policy_names_has_no_slot() -> None:
    """It is to be excluded: a slot that wants nothing is a mistake of the caller's."""
    with pytest.raises(TypeError):
        compile_slot({SessionKind.EXEC: []})


@pytest.mark.parametrize("others", [0, 3, 4, 40])
def test_no_policys_redaction_is_pushed_out(others: int) -> None:
    """However many rules a namespace's policies have, what the cluster's match is taken out."""
    rules = [{"name": f"z{each}", "pattern": f"customer{each}=(\\d+)"} for each in range(32)]
    cluster = make_policy("zz", {"events": {"commands": {}}, "redaction": {"rules": rules}}, namespace=None)
    names = [f"a{number}x{each}" for number in range(others) for each in range(32)]
    teams = [
        make_policy(f"p{number}", {"events": {"commands": {}}, "redaction": {"rules": [
            {"name": each, "pattern": each} for each in names[number * 32 : number * 32 + 32]
        ]}})
        for number in range(others)
    ]  # fmt: skip
    redaction = parse(cluster, *teams).redaction_of(RecordedKind.EXEC)
    arguments = [b"app", b"--customer31=4711"]
    cleaned, _ = redaction.apply(b"app\0--customer31=4711\0", arguments)
    assert cleaned[1] == (b"--customer31=[redacted]" if others < 4 else b"[redacted]")
