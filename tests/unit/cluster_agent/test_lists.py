"""Lists of the API server, as they come over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cluster.errors import Unavailable
from podcorder_agent.cluster.lists import LONGEST_OBJECT, ListReader

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def cut(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


@given(st.lists(JSON, max_size=6), st.integers(1, 40), st.booleans(), st.sampled_from([None, 1]))
def test_a_list_is_what_its_json_is(items: list[Any], size: int, sorted_names: bool, indent: int | None) -> None:
    """Objects and version, in whatever pieces the answer comes and in whatever order its members stand."""
    document = {"kind": "PodList", "metadata": {"resourceVersion": "77", "x": [1]}, "apiVersion": "v1", "items": items}
    text = json.dumps(document, sort_keys=sorted_names, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
    listing = ListReader(cut(text, size))
    assert list(listing) == json.loads(text)["items"]
    assert listing.resource_version == "77"


def test_an_object_is_told_before_the_next_has_come() -> None:
    """No more of a list is in memory than one object and what has come with it."""
    came: list[int] = []

    def chunks() -> Iterator[bytes]:
        yield b'{"items":['
        for number in range(100):
            came.append(number)
            yield json.dumps({"number": number}).encode() + b","
        yield b'{}],"metadata":{"resourceVersion":"1"}}'

    for each in ListReader(chunks()):
        assert len(came) <= each.get("number", 99) + 3


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"<html>",
        b'{"items":[{}',
        b'{"items":[{} {}]}',
        b'{"items":[}',
        b'{"items" 1}',
        b'{"items":[1 ',
    ],
)
def test_what_is_no_list_is_refused(text: bytes) -> None:
    """Where an answer ends early, or is something else, nobody takes it for a whole list."""
    with pytest.raises(Unavailable):
        list(ListReader(cut(text, 3)))


def test_a_list_without_items_is_empty() -> None:
    """The API server may write null for none."""
    listing = ListReader(iter([b'{"items":null,"metadata":{"resourceVersion":"5"}}']))
    assert (list(listing), listing.resource_version) == ([], "5")


def test_what_never_ends_is_given_up() -> None:
    """An object that is longer than any may be does not fill the memory."""
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        yield b'{"items":["'
        while True:
            taken += 1 << 20
            yield b"a" * (1 << 20)

    with pytest.raises(Unavailable):
        list(ListReader(chunks()))
    assert taken < 4 * LONGEST_OBJECT
