"""Random worlds of few people, few commands and requests that lag: nobody's session gets somebody else's name."""

from __future__ import annotations

import random
from typing import Any

import pytest
from fixtures.announcing_nodes import AnnouncingNode
from fixtures.journals import SECOND

from podcorder_agent.interpreter import claims


@pytest.mark.parametrize("room", [claims.MOST_HELD, 3])
@pytest.mark.parametrize("seed", range(100))
def test_no_session_ever_has_a_wrong_name(feed: Any, seed: int, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which requests and sessions of few commands and users come, though the watch may lag, and
    though so much happens that little of it can be kept back."""
    monkeypatch.setattr(claims, "MOST_HELD", room)
    chance = random.Random(seed)
    node = AnnouncingNode(feed)
    truth: dict[int, str] = {}
    late: list[tuple[float, str, str]] = []
    wrong: list[tuple[int, str]] = []
    for _ in range(60):
        user, word = chance.choice(["alice", "bob", "carol"]), chance.choice(["ls", "id"])
        lag = chance.choice([0.0, 0.0, 0.0, 0.2, 0.8])
        late.append((feed.time / SECOND + lag, user, word))
        if lag == 0.0:
            tell(node, late)
        node.feed.time += int(chance.uniform(0.02, 0.1) * SECOND)
        truth[node.begin(word)] = user
        for _ in range(chance.randrange(4)):
            node.feed.time += int(chance.uniform(0.0, 0.9) * SECOND)
            tell(node, late)
            node.wait(0.0)
        wrong += mistakes(feed, truth)
    node.wait(1.0)
    tell(node, late, whatever=True)
    node.wait(2.5)
    wrong += mistakes(feed, truth)
    assert wrong == []


def tell(node: AnnouncingNode, late: list[tuple[float, str, str]], whatever: bool = False) -> None:
    now = node.feed.time / SECOND
    for each in [each for each in late if whatever or each[0] <= now]:
        late.remove(each)
        node.announce(each[1], each[2], age=now - each[0] + 0.9)


def mistakes(feed: Any, truth: dict[int, str]) -> list[tuple[int, str]]:
    sessions = {each.process.session for each in feed.events if each.process}
    return [
        (each.root_tgid, each.user_name) for each in sessions if each.user_name not in (None, truth[each.root_tgid])
    ]
