"""What is kept of the node's pods, and which of them has a cgroup."""

from __future__ import annotations

from typing import Any

from podcorder_agent.cluster.streams import Drop, Put
from podcorder_agent.cluster.world import MOST_GONE, Pods

MIRROR = "kubernetes.io/config.mirror"


def make_pod(namespace: str, uid: str, created: int = 0, *, mirror: str = "") -> dict[str, Any]:
    """A pod, called by its uid and made at this second."""
    metadata = {"namespace": namespace, "name": uid, "uid": uid, "creationTimestamp": f"2026-11-23T01:00:{created:02}Z"}
    return {"metadata": metadata | ({"annotations": {MIRROR: mirror}} if mirror else {})}


def take(*pods: dict[str, Any]) -> Pods:
    found = Pods()
    for each in pods:
        found.take(Put(each))
    return found


def namespace_of(pods: Pods, cgroup_uid: str) -> str:
    pod = pods.find(cgroup_uid)
    return pod.namespace if pod is not None else ""


def test_a_static_pod_is_found_by_the_kubelets_uid() -> None:
    """Which its mirror carries, also after the mirror was made anew."""
    pods = take(make_pod("kube-system", "first", 1, mirror="hash"))
    assert namespace_of(pods, "hash") == "kube-system"
    pods.changed.clear()
    pods.take(Drop(("kube-system", "first")))
    pods.take(Put(make_pod("kube-system", "second", 2, mirror="hash")))
    assert "hash" in pods.changed
    assert pods.find("hash") == pods.find("second")


def test_nobody_takes_a_pods_cgroup_by_an_annotation() -> None:
    """Whichever of the two is told of first, and whatever becomes of the one that claims it."""
    victim, claimant = make_pod("shop", "victim", 1), make_pod("other", "claimant", 0, mirror="victim")
    for pods in (take(victim, claimant), take(claimant, victim)):
        assert namespace_of(pods, "victim") == "shop"
        assert "victim" in pods.changed
        pods.take(Drop(("other", "claimant")))
        for number in range(MOST_GONE + 1):
            pods.take(Put(make_pod("other", f"short-{number}")))
            pods.take(Drop(("other", f"short-{number}")))
        assert namespace_of(pods, "victim") == "shop"
        assert pods.namespaces == ("shop",)


def test_of_two_static_pods_of_one_uid_the_older_has_the_cgroup() -> None:
    """Nobody can make a pod before the one that was there; the order of a list says nothing."""
    real, claimant = make_pod("kube-system", "real", 1, mirror="hash"), make_pod("other", "later", 2, mirror="hash")
    assert namespace_of(take(real, claimant), "hash") == "kube-system"
    assert namespace_of(take(claimant, real), "hash") == "kube-system"
