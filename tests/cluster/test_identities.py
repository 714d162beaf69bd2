"""Two people, alice and bob, in the same pods by every client: each event names who really did it, or owns up."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from cluster.sandboxes import ClusterFailed, wait_until
from cluster.whole_cluster import WholeCluster
from fixtures.namespaces import Namespace
from fixtures.people import let_begin_sessions
from fixtures.releases import Release
from fixtures.rounds import Action, Game, Played, find_word, plan, start_pods
from fixtures.session_clients import SessionClients
from fixtures.verdicts import Verdict, judge, judge_objects

ROUNDS = int(os.environ.get("ROUNDS", "500"))
NAMESPACE = "shop"
SESSIONS = f"/apis/podcorder.dev/v1alpha1/namespaces/{NAMESPACE}/recordedsessions"


@pytest.fixture(scope="module")
def release(whole_cluster: WholeCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """A release whose policy records commands and files of people's sessions in the pods of rounds."""
    with Release.installed(whole_cluster, tmp_path_factory.mktemp("release")) as release:
        namespace = Namespace(whole_cluster, NAMESPACE)
        start_pods(namespace, {"app": "web"})
        let_begin_sessions(whole_cluster, NAMESPACE)
        policy = {
            "apiVersion": "podcorder.dev/v1alpha1",
            "kind": "SessionRecordingPolicy",
            "metadata": {"name": "people", "namespace": NAMESPACE},
            "spec": {"events": {"commands": {}, "files": {"paths": {"include": ["/tmp/"]}}}},
        }
        release.apply(yaml.safe_dump(policy))
        yield release


def test_nobody_is_given_anothers_name(release: Release, tmp_path: Path) -> None:
    """In random rounds each event of exec, cp and debug names who did it, or says honestly that it could be several,
    or that it does not know yet; and who was alone with a command is named."""
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"SEED={seed} ROUNDS={ROUNDS}")
    groups = plan(random.Random(seed), ROUNDS)

    async def play() -> list[Played]:
        async with SessionClients.open(release.cluster) as clients:
            return await Game(clients, NAMESPACE, tmp_path).play(groups)

    played = asyncio.run(play())
    people = {each.round.word: each.round.user for each in played}

    def look() -> Verdict:
        return judge(release.records(lambda each: each.get("k8s.namespace.name") == NAMESPACE), find_word, people)

    def is_settled() -> bool:
        found = look()
        return not find_missing(played, found) and not any("Pending" in each for each in found.identities.values())

    with suppress(ClusterFailed):  # what is missing is said below
        wait_until(is_settled, 45, "a session for each round")
    verdict = look()
    report(played, verdict)
    assert find_missing(played, verdict) == []
    assert verdict.faults == []
    objects = release.cluster.request("GET", SESSIONS)["items"]
    assert judge_objects(objects, verdict, people) == []
    alone = [each.round.word for each in played if not each.is_contested(played)]
    named = [each for each in alone if set(verdict.identities[each]) == {"Identified"}]
    assert len(named) >= 0.98 * len(alone)


def find_missing(played: list[Played], verdict: Verdict) -> list[Played]:
    """Rounds that have not yet been recorded, or twice."""
    return [each for each in played if len(verdict.identities[each.round.word]) != each.round.sessions]


def report(played: list[Played], verdict: Verdict) -> None:
    """Figures for people."""
    print(f"events: {dict(verdict.events)}")
    for kind, contested in (("alone", False), ("contested", True)):
        chosen = [each.round for each in played if each.is_contested(played) is contested]
        found = Counter(identity for each in chosen for identity in verdict.identities[each.word])
        print(f"sessions of {len(chosen)} rounds {kind}: {dict(found)}")
    for action in Action:
        words = [each.round.word for each in played if each.round.action is action]
        print(f"{action}: {dict(Counter(identity for each in words for identity in verdict.identities[each]))}")
