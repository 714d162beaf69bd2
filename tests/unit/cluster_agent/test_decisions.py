"""What becomes of a cgroup."""

from __future__ import annotations

from dataclasses import replace

import pytest

from podcorder_agent.cluster.cgroups import PodCgroup
from podcorder_agent.cluster.decisions import NAMING_NS, Decision, Recorded, Unrecorded, decide
from podcorder_agent.cluster.matching import Combination
from podcorder_agent.cluster.pods import ContainerFacts, ContainerType, Owner, PodFacts
from podcorder_crds import SessionKind

ID = "a" * 64
PATH = f"/kubepods/poduid/{ID}"
CGROUP = PodCgroup(11, PATH, ID, "containerd", "uid", made=0, held=True, first=False)
SANDBOX = replace(CGROUP, first=True)
MAIN = ContainerFacts("main", ContainerType.MAIN, "image:1", (("cat", "/alive"),))
SIDECAR = ContainerFacts("sidecar", ContainerType.MAIN)
POD = PodFacts("shop", "web", "uid", "uid", owner=Owner("Deployment", "web"), containers=(MAIN,))
COMBINATION: Combination = ((SessionKind.EXEC, (("SessionRecordingPolicy", "shop", "exec"),)),)


def decide_now(
    cgroup: PodCgroup, pod: PodFacts | None, now: int = 0, *, wanted: str = "main", beside: tuple[str, ...] = ()
) -> Decision:
    return decide(cgroup, pod, beside, lambda _, container: COMBINATION if container.name == wanted else (), now)


def named(decision: Decision) -> str | None:
    assert isinstance(decision, Recorded)
    assert decision.combination == COMBINATION
    name = decision.container.get("name")
    assert name is None or isinstance(name, str)
    return name


def test_a_container_whose_pod_is_unknown_waits() -> None:
    """Nothing is decided before the pod is known, however long it takes."""
    assert decide_now(CGROUP, None, 10 * NAMING_NS) is Unrecorded.WAITING


def test_an_id_in_the_status_names_the_container() -> None:
    """Name, image, pod, owner and probes go with the request; where no policy wants it, it is excluded."""
    pod = replace(POD, containers=(SIDECAR, replace(MAIN, ids=frozenset({ID}))))
    decision = decide_now(CGROUP, pod)
    assert decision == Recorded(
        COMBINATION,
        SessionKind.CONTAINER,
        {
            "id": ID,
            "path": PATH,
            "runtime": "containerd",
            "pod": {
                "namespace": "shop",
                "name": "web",
                "uid": "uid",
                "owner": {"kind": "Deployment", "name": "web"},
            },
            "name": "main",
            "image": "image:1",
            "probes": [["cat", "/alive"]],
        },
    )
    assert decide_now(CGROUP, pod, wanted="sidecar") is Unrecorded.EXCLUDED


def test_the_only_container_needs_no_status() -> None:
    """Of a pod with one container what is not the sandbox is that one, before the API server tells of it."""
    assert named(decide_now(CGROUP, POD)) == "main"
    assert decide_now(SANDBOX, POD) is Unrecorded.EXCLUDED


def test_beside_the_only_container_is_another() -> None:
    """While the only container runs, what is new is one that was added and that the API server has not told of yet."""
    running = replace(POD, containers=(replace(MAIN, ids=frozenset({"b" * 64})),))
    assert decide_now(CGROUP, running, beside=("b" * 64,)) is Unrecorded.WAITING
    assert named(decide_now(CGROUP, running)) == "main"


def test_one_of_several_that_was_started_again_is_recorded() -> None:
    """While the API server is away the status has only ids of earlier runs: it gets the pod's name, and is no
    sandbox."""
    pod = replace(POD, containers=tuple(replace(each, ids=frozenset({each.name})) for each in (MAIN, SIDECAR)))
    assert decide_now(CGROUP, pod) is Unrecorded.WAITING
    assert named(decide_now(CGROUP, pod, NAMING_NS)) is None


def test_one_of_several_waits_for_its_name() -> None:
    """It is held until its id is told, and when that takes too long it is recorded with the pod's name alone."""
    pod = replace(POD, containers=(MAIN, SIDECAR))
    assert decide_now(CGROUP, pod) is Unrecorded.WAITING
    assert named(decide_now(CGROUP, pod, NAMING_NS)) is None


def test_of_a_pod_that_nothing_records_nothing_waits() -> None:
    """Whichever of the containers it is, it is excluded."""
    pod = replace(POD, containers=(MAIN, SIDECAR))
    assert decide_now(CGROUP, pod, wanted="") is Unrecorded.EXCLUDED


def test_a_status_outweighs_the_order() -> None:
    """What looks like a sandbox and is a container's id in the status is that container."""
    assert named(decide_now(SANDBOX, replace(POD, containers=(replace(MAIN, ids=frozenset({ID})),)))) == "main"


def test_a_sandbox_in_no_order_is_excluded_in_the_end() -> None:
    """With CRI-O the first is held; once all containers have other ids, it can only be the sandbox."""
    cgroup = replace(SANDBOX, runtime="cri-o")
    assert decide_now(cgroup, POD) is Unrecorded.WAITING
    pod = replace(POD, containers=(replace(MAIN, ids=frozenset({"b" * 64})),))
    assert decide_now(cgroup, pod, NAMING_NS) is Unrecorded.EXCLUDED


@pytest.mark.parametrize(
    ("kind", "session"),
    [
        (ContainerType.INIT, SessionKind.CONTAINER),
        (ContainerType.MAIN, SessionKind.CONTAINER),
        (ContainerType.EPHEMERAL, SessionKind.DEBUG),
    ],
)
def test_an_ephemeral_container_is_a_debug_session(kind: ContainerType, session: SessionKind) -> None:
    """The request's session kind is Debug for it, Container for the others."""
    pod = replace(POD, containers=(ContainerFacts("main", kind, ids=frozenset({ID})),))
    decision = decide_now(CGROUP, pod)
    assert isinstance(decision, Recorded)
    assert decision.session_kind is session


def test_what_a_pod_that_looks_into_its_node_runs_is_a_debug_session() -> None:
    """Be its container known by name or not, as that of an ephemeral container."""
    pod = replace(POD, looks_into_node=True)
    two = replace(pod, containers=(MAIN, SIDECAR))
    ephemeral = replace(POD, containers=(replace(MAIN, type=ContainerType.EPHEMERAL),))
    for decision in (decide_now(CGROUP, pod), decide_now(CGROUP, two, NAMING_NS), decide_now(CGROUP, ephemeral)):
        assert isinstance(decision, Recorded)
        assert decision.session_kind is SessionKind.DEBUG
