"""What a `select` request says of a container is on every event of it."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.journals import SECOND, record_exec, record_exit, record_open

from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import attributes
from podcorder_agent.interpreter.subjects import OWNERS, Pod

PENDING = 1 << 3
POD = {"namespace": "shop", "name": "web-7d4b9-x2x", "uid": "0b6f", "owner": {"kind": "Deployment", "name": "web"}}
TOLD = {"id": "abc", "path": "/kubepods/c", "runtime": "containerd", "name": "app", "image": "reg/app:1", "pod": POD}
EXPORTED = {
    "container.id": "abc",
    "container.runtime.name": "containerd",
    "container.image.name": "reg/app:1",
    "k8s.namespace.name": "shop",
    "k8s.pod.name": "web-7d4b9-x2x",
    "k8s.pod.uid": "0b6f",
    "k8s.container.name": "app",
    "k8s.deployment.name": "web",
}


def place(event: events.Event) -> dict[str, Any]:
    return {name: value for name, value in attributes(event).items() if name.startswith(("container.", "k8s."))}


def test_every_event_of_a_container_names_its_pod(feed: Any) -> None:
    """From the container's start to its end, by OpenTelemetry's names."""
    feed.select(container=TOLD)
    feed.record(record_exec, b"sh")
    feed.record(record_open)
    feed.record(record_exit)
    feed.request("exclude", cgroup_id=4242)
    assert len(feed.events) == 7
    assert all(place(each) == EXPORTED for each in feed.events)


def test_what_was_held_is_attributed_as_well(feed: Any) -> None:
    """The pod is known when the container is selected, and not before."""
    feed.record(record_exec, b"sh", flags=PENDING)
    found = feed.select(container=TOLD)
    assert len(found) == 3
    assert all(place(each) == EXPORTED for each in found)


def test_a_later_select_refreshes_what_follows(feed: Any) -> None:
    """What is known only then, such as the container's name, is on events from then on, encoded anew; and what a later
    request leaves out stays known."""
    pod = {"namespace": "shop", "name": "web", "uid": "0b6f"}
    feed.select(container={"path": "/c", "pod": pod, "image": "reg/app:1"})
    (_, execution) = feed.record(record_exec, b"sh")
    execution.process.encoded = b"stale"
    feed.select(container={"path": "/c", "pod": POD, "name": "app"})
    (opened,) = feed.record(record_open)
    assert opened.process.encoded is None
    assert place(opened)["k8s.container.name"] == "app"
    assert place(opened)["container.image.name"] == "reg/app:1"


@pytest.mark.parametrize("kind", OWNERS)
def test_each_kind_of_owner_has_its_attribute(feed: Any, kind: str) -> None:
    """By OpenTelemetry's names."""
    feed.select(container=TOLD | {"pod": POD | {"owner": {"kind": kind, "name": "x"}}})
    (_, execution) = feed.record(record_exec, b"sh")
    assert attributes(execution)[f"k8s.{kind.lower()}.name"] == "x"


@pytest.mark.parametrize(
    "pod",
    [
        {},
        {"namespace": 7, "name": None, "uid": []},
        {"owner": "web"},
        {"owner": {}},
        {"owner": {"kind": "Deployment"}},
        {"owner": {"kind": ["Deployment"], "name": "x"}},
        {"owner": {"kind": "Rollout", "name": "x"}},
    ],
)
def test_what_does_not_fit_is_left_out(feed: Any, pod: dict[str, Any]) -> None:
    """Never guessed, and no reason not to record."""
    feed.select(container={"path": "/c", "pod": pod, "probes": [7, [], ["a", 7], ["a\0b"], "x"]})
    (_, execution) = feed.record(record_exec, b"sh")
    assert execution.process.session.container.pod == Pod()
    assert feed.interpreter.selections.chosen[4242].probes == ()


def test_texts_are_bounded(feed: Any) -> None:
    """A request cannot make a checkpoint of any size."""
    probes = [["x" * 70_000], *([str(number)] for number in range(100))]
    feed.select(container={"path": "/c", "pod": {"name": "x" * 10_000}, "probes": probes})
    selection = feed.interpreter.selections.chosen[4242]
    assert len(selection.container.pod.name) == 4096
    assert [len(each) for each in selection.probes] == [2] * 10 + [3] * 5


def test_an_older_request_changes_nothing(feed: Any) -> None:
    """A copy that was carried forward stands behind newer ones."""
    feed.select(container=TOLD)
    feed.time -= SECOND
    feed.select(container=TOLD | {"pod": POD | {"name": "other"}})
    feed.time += SECOND
    (_, execution) = feed.record(record_exec, b"sh")
    assert place(execution) == EXPORTED
