"""The operator when things go wrong: whatever the API server does, all comes right again, and it is never hammered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from random import Random

import pytest
from cluster.sandboxes import wait_until
from fixtures.api_clients import ApiClient
from fixtures.api_proxy import (
    ApiProxy,
    Behaviour,
    conflict,
    cut_after,
    delay,
    expire,
    expire_in_stream,
    fail,
    hang,
    hang_up,
    lose_answer,
    throttle,
)
from fixtures.config_histories import ConfigHistory
from fixtures.installations import Installation
from fixtures.recounts import find_differences, read_snapshot, wait_converged, wait_truthful
from fixtures.worlds import World

from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, WATCHED
from podcorder_operator.webhook_entries import WEBHOOKS

FOLLOWED = (*WATCHED, WEBHOOKS)
"""By the replica that leads."""
STORM_SECONDS = 8.0
PATIENCE = 45.0
"""Seconds: a storm costs the lease, 10 s, and the longest pauses between tries come after it."""


@pytest.fixture
def proxy(installation: Installation) -> Iterator[ApiProxy]:
    """Between the operator and the API server; the tests' own client goes straight there."""
    with ApiProxy(installation.control_plane.url, installation.control_plane.authority) as made:
        yield made


@pytest.fixture
def world(client: ApiClient, installation: Installation, proxy: ApiProxy, history: ConfigHistory) -> World:
    """Nodes, policies and reports, and an operator behind the proxy that has done all there was to do."""
    made = World(client, Random(7))
    installation.start_operator(proxy.url, "proxied").wait_ready()
    made.populate()
    wait_converged(client)
    for _ in range(20):
        made.report()
    wait_converged(client)
    return made


def calls(proxy: ApiProxy, verb: str) -> int:
    return sum(count for call, count in proxy.requests.items() if call.verb == verb)


def resources_asked_for(proxy: ApiProxy, seconds: float) -> set[str]:
    """What the operator asks for in so many seconds."""
    proxy.forget()
    time.sleep(seconds)
    return {call.resource for call in proxy.requests}


class Churn:
    """A thread that changes the world all the time; use as a context manager."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Churn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            self._world.step()


def test_the_standby_takes_over_from_a_leader_killed_under_churn(
    installation: Installation, client: ApiClient, history: ConfigHistory
) -> None:
    """After kill -9 of the leader the standby writes within 20 s, and nothing stays wrong."""
    replicas = {name: installation.start_operator(name=name) for name in ("one", "two")}
    for replica in replicas.values():
        replica.wait_ready()
    wait_until(installation.find_leader, 20, "a leader")
    leader = installation.find_leader()
    (standby,) = replicas.keys() - {leader}
    world = World(installation.new_client(), Random(11))
    world.populate()
    with Churn(world):
        time.sleep(2)  # in the midst of it
        replicas[leader].kill()
        began = time.monotonic()
        wait_until(lambda: installation.find_leader() == standby, 20, "the standby leads")
        before = {config["metadata"]["name"]: config["metadata"]["generation"] for config in client.list(CONFIGS)}
        wait_until(
            lambda: any(
                config["metadata"]["generation"] > before.get(config["metadata"]["name"], 0)
                for config in client.list(CONFIGS)
            ),
            20 - (time.monotonic() - began),
            "the standby writes",
        )
        print(f"taken over after {time.monotonic() - began:.1f} s")
    wait_converged(client)
    wait_truthful(client, history)


def test_at_rest_only_the_lease_is_written(
    world: World, proxy: ApiProxy, client: ApiClient, history: ConfigHistory
) -> None:
    """An operator with nothing to do renews its Lease and asks for nothing else."""
    wait_truthful(client, history)
    # Which policies share pods is said by statuses too, which have 5 s between them and no recount.
    wait_until(lambda: resources_asked_for(proxy, 6) == {"leases"}, 40, "the operator at rest")
    assert resources_asked_for(proxy, 10) == {"leases"}
    assert proxy.requests.total() <= 12


@pytest.mark.parametrize("end", [ApiProxy.close_watches, ApiProxy.cut_watches], ids=["closed", "cut"])
def test_watches_that_end_are_resumed(
    world: World, proxy: ApiProxy, client: ApiClient, end: Callable[[ApiProxy], int]
) -> None:
    """Watches that are closed or cut go on where they were: nothing is listed again, nothing is missed."""
    wait_until(lambda: proxy.watches().total() == len(FOLLOWED), 20, "every watch open")
    proxy.forget()
    for _ in range(4):
        assert end(proxy) == len(FOLLOWED)
        for _ in range(6):
            world.step()
        wait_until(lambda: proxy.watches().total() == len(FOLLOWED), 20, "every watch open again")
    wait_converged(client)
    assert calls(proxy, "list") == 0
    assert calls(proxy, "watch") <= 8 * len(FOLLOWED)


def test_an_expired_watch_is_listed_anew(world: World, proxy: ApiProxy, client: ApiClient) -> None:
    """410 Gone in a watch costs one list of each collection."""
    wait_until(lambda: proxy.watches().total() == len(FOLLOWED), 20, "every watch open")
    proxy.forget()
    assert proxy.expire_watches() == len(FOLLOWED)
    for _ in range(10):
        world.step()
    wait_converged(client)
    # Whether the world is right shows nothing of the webhook's configuration.
    wait_until(lambda: calls(proxy, "list") >= len(FOLLOWED), 20, "every collection listed")
    assert calls(proxy, "list") <= 2 * len(FOLLOWED)


@pytest.mark.parametrize("answer", [expire, expire_in_stream], ids=["HTTP 410", "ERROR event"])
def test_what_vanished_while_nobody_could_watch_is_gone(
    world: World, proxy: ApiProxy, client: ApiClient, answer: Behaviour
) -> None:
    """Deletions that no watch tells of are found by the next list, and no watch that says 410 is asked in a loop."""
    fault = proxy.inject(answer, verbs="watch")
    proxy.forget()
    proxy.cut_watches()
    for drop in (world.drop_policy, world.drop_policy, world.drop_node, world.drop_namespace):
        drop()
    time.sleep(STORM_SECONDS)  # so long every watch is refused
    assert proxy.requests.total() <= 100
    proxy.lift(fault)
    wait_converged(client, PATIENCE)


def test_conflicts_are_written_again(world: World, proxy: ApiProxy, client: ApiClient) -> None:
    """409 to every write for a while: each is tried again, with pauses."""
    proxy.forget()
    conflicts = 10
    fault = proxy.inject(conflict, verbs="apply", resources="noderecordingconfigs", times=conflicts)
    for _ in range(20):
        world.step()
    wait_converged(client, PATIENCE)
    needed = calls(proxy, "apply") - fault.met
    print(f"{fault.met} conflicts, {needed} other writes")
    assert 0 < fault.met <= conflicts
    assert needed <= 80


STORMS = {
    "500": fail,
    "429": throttle(1),
    "no answer": hang_up,
    "hanging": hang,
    "slow": delay(1),
    "cut in the middle": cut_after(40),
    "done but not told": lose_answer,
}


@pytest.mark.parametrize("name", STORMS)
def test_storms_pass(name: str, world: World, proxy: ApiProxy, client: ApiClient, history: ConfigHistory) -> None:
    """Every request of some seconds goes wrong: few are made, all comes right, and the process stays the same."""
    fault = proxy.inject(STORMS[name])
    proxy.forget()
    proxy.cut_watches()
    for _ in range(15):
        world.step()
    time.sleep(STORM_SECONDS)
    made = proxy.requests.total()
    proxy.lift(fault)
    print(f"{name}: {made} requests in {STORM_SECONDS} s")
    wait_converged(client, PATIENCE)
    wait_truthful(client, history)
    assert 0 < made <= 100


def test_writes_that_hang_hold_up_no_others(world: World, proxy: ApiProxy, client: ApiClient) -> None:
    """While the writes of two configs hang, those of all other nodes are made; the two come later."""
    hung = proxy.inject(hang, verbs="apply", resources="noderecordingconfigs", times=2)
    client.apply(CLUSTER_POLICIES, {"metadata": {"name": "everywhere"}, "spec": {"events": {"commands": {}}}})
    wait_until(lambda: len(list(find_differences(read_snapshot(client)))) == hung.met == 2, 5, "all but two written")
    wait_converged(client, PATIENCE)


def test_an_api_server_that_restarts_is_found_again(
    world: World, proxy: ApiProxy, client: ApiClient, installation: Installation, history: ConfigHistory
) -> None:
    """An API server that is away and comes back: few requests meanwhile, then everything as it should be."""
    proxy.forget()
    installation.control_plane.kill_api_server()
    time.sleep(STORM_SECONDS)
    assert proxy.requests.total() <= 100
    installation.control_plane.start_api_server()
    for _ in range(15):
        world.step()
    wait_converged(client, PATIENCE)
    installation.control_plane.kill_api_server()
    installation.control_plane.start_api_server()
    for _ in range(15):
        world.step()
    wait_converged(client, PATIENCE)
    wait_truthful(client, history)
