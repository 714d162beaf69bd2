"""What is kept of a collection for an exporter that is started while the API server is away."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from podcorder_agent.cluster.copies import LocalCopy
from podcorder_agent.cluster.streams import Change, Drop, Listed, Put


def make_pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, **metadata}, "spec": {"nodeName": "node-1"}}


def keep(directory: Path, *changes: Change) -> None:
    """What one exporter was told before it ended; it has passed all of it on."""
    told: list[Change] = []
    copy = LocalCopy(directory, told.append)
    for each in changes:
        copy.tell(each)
    assert told == list(changes)


def begin(directory: Path, *changes: Change) -> list[Change]:
    """What the next one is told, where these come from the API server in time."""
    told: list[Change] = []
    copy = LocalCopy(directory, told.append, patience=0.0)
    for each in changes:
        copy.tell(each)
    copy.run(threading.Event())
    return told[len(changes) :]


LIST = Listed(frozenset({("shop", "a"), ("shop", "b")}))


def test_without_the_api_server_it_goes_on_with_what_was_told(tmp_path: Path) -> None:
    """The next exporter has every object as last told, and a whole list."""
    pods = make_pod("a"), make_pod("b")
    keep(tmp_path / "pods", *map(Put, pods), LIST, Put(make_pod("b", labels={"app": "web"})))
    *puts, listed = begin(tmp_path / "pods")
    assert listed == LIST
    assert sorted(puts, key=str) == sorted([Put(pods[0]), Put(make_pod("b", labels={"app": "web"}))], key=str)


def test_what_is_gone_is_not_kept(tmp_path: Path) -> None:
    """Neither what was deleted nor what a later list has not."""
    keep(tmp_path, Put(make_pod("a")), Put(make_pod("b")), LIST, Drop(("shop", "a")))
    assert begin(tmp_path)[-1] == Listed(frozenset({("shop", "b")}))
    keep(tmp_path, Listed(frozenset()))
    assert begin(tmp_path) == [Listed(frozenset())]


def test_an_answer_of_the_api_server_outweighs_it(tmp_path: Path) -> None:
    """Where a list came, nothing of what was kept is told."""
    keep(tmp_path, Put(make_pod("a")), Put(make_pod("b")), LIST)
    assert begin(tmp_path, Put(make_pod("c")), Listed(frozenset({("shop", "c")}))) == []


def test_half_a_list_is_none(tmp_path: Path) -> None:
    """A node whose config is only missing here must not be taken for one that has none."""
    keep(tmp_path, Put(make_pod("a")))
    assert begin(tmp_path) == []
    assert begin(tmp_path / "absent") == []


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    """Damage takes one object, not the others."""
    keep(tmp_path, Put(make_pod("a")), Put(make_pod("b")), LIST)
    min(tmp_path.glob("*.z")).write_bytes(b"damaged")
    put, listed = begin(tmp_path)
    assert isinstance(put, Put)
    assert listed == Listed(frozenset({("shop", put.object["metadata"]["name"])}))


def test_without_a_place_it_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is told is passed on, and the log says once what is missing."""
    (tmp_path / "file").touch()
    keep(tmp_path / "file" / "pods", Put(make_pod("a")), Put(make_pod("b")), LIST)
    assert len(caplog.records) == 1
