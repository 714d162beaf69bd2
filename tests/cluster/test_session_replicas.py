"""Two replicas behind one Service: what becomes of people's sessions when one of them goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cluster.sandboxes import wait_until
from fixtures.api_clients import Refused
from fixtures.balancers import Balancer
from fixtures.collectors import free_ports
from fixtures.installations import Installation, Operator
from fixtures.session_endpoints import ask_about_sessions

from podcorder_operator.resources import NODES, PODS, POLICIES, RECORDED_SESSIONS

SHOP = "shop"
THREADS = 4


class Service:
    """Two replicas, and people who exec all the time."""

    def __init__(self, installation: Installation, balancer: Balancer, replicas: dict[int, Operator]) -> None:
        self.balancer = balancer
        self.replicas = replicas
        """By port."""
        self._installation = installation

    def exec(self) -> None:
        """As one person; the API server then finds no kubelet, and that is all that may go wrong."""
        client = self._installation.new_client()
        with pytest.raises(Refused) as said:
            client.call("POST", PODS.path("api", namespace=SHOP, subresource="exec"), container="main", command="true")
        client.close()
        assert "webhook" not in str(said.value)
        assert said.value.status == 500, said.value

    def count(self) -> int:
        """The records that there are."""
        return len(self._installation.client.list(RECORDED_SESSIONS))

    def exec_while(self, happens: Callable[[], None]) -> int:
        """How many execs there were meanwhile, a few at a time, all of which got as far as without a webhook."""
        ended = threading.Event()

        def repeat() -> int:
            done = 0
            while not ended.is_set():
                self.exec()
                done += 1
            return done

        with ThreadPoolExecutor(THREADS) as threads:
            people = [threads.submit(repeat) for _ in range(THREADS)]
            try:
                happens()
            finally:
                ended.set()
            return sum(each.result() for each in people)


@pytest.fixture
def service(installation: Installation, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    plane, client = installation.control_plane, installation.client
    plane.add_service_account(SHOP, "default")
    client.create(NODES, {"metadata": {"name": "node-1"}})
    containers = [{"name": "main", "image": "none"}]
    spec = {"nodeName": "node-1", "automountServiceAccountToken": False, "containers": containers}
    client.create(PODS, {"metadata": {"name": "api", "namespace": SHOP}, "spec": spec})
    client.create(POLICIES, {"metadata": {"name": "people", "namespace": SHOP}, "spec": {"events": {"commands": {}}}})
    with ask_about_sessions(installation, tmp_path) as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        port = int(endpoint.environment["PODCORDER_SESSIONS_PORT"])
        replicas = {}
        for own, webhook in zip(free_ports(2), free_ports(2), strict=True):
            monkeypatch.setenv("PODCORDER_SESSIONS_PORT", str(own))
            monkeypatch.setenv("PODCORDER_WEBHOOK_PORT", str(webhook))
            replicas[own] = installation.start_operator()
        for replica in replicas.values():
            replica.wait_ready()
        balancer = Balancer(port, list(replicas))
        with balancer.running():
            made = Service(installation, balancer, replicas)

            def announces() -> bool:
                made.exec()
                return made.count() > 0

            wait_until(announces, 20, "an exec announced")
            yield made
    client.call("DELETE", PODS.path("api", namespace=SHOP), {"gracePeriodSeconds": 0})


def reviews(replica: Operator) -> float:
    """How many reviews a replica has answered."""
    lines = (replica.ask("metrics") or "").splitlines()
    return sum(
        float(line.rpartition(" ")[2]) for line in lines if line.startswith("podcorder_operator_admissions_total")
    )


def test_both_answer(service: Service) -> None:
    """The one that leads, and the one that does not."""

    def asked() -> bool:
        service.exec()
        return all(reviews(replica) for replica in service.replicas.values())

    service.exec_while(lambda: wait_until(asked, 20, "both replicas asked"))


def test_a_replica_is_killed(service: Service) -> None:
    """No exec fails, not even while its address is still asked; once it is not, every exec has its record again."""
    (port, killed), _ = service.replicas.items()

    def kill() -> None:
        before = service.count()
        wait_until(lambda: service.count() > before + 20, 20, "execs with both replicas")
        killed.kill()
        before = service.count()
        wait_until(lambda: service.count() > before + 20, 20, "execs with a dead address")
        service.balancer.remove(port)

    assert service.exec_while(kill) > 40
    before = service.count()
    for _ in range(10):
        service.exec()
    assert service.count() == before + 10


def test_a_replica_is_replaced(service: Service) -> None:
    """As an upgrade does it, its address first, at most those execs go without a record that were just on the way."""
    (port, replaced), _ = service.replicas.items()
    before = service.count()

    def replace() -> None:
        wait_until(lambda: service.count() > before + 20, 20, "execs with both replicas")
        service.balancer.remove(port)
        # The API server keeps connections: what it sends on one that is just being closed, it may not send again.
        replaced.terminate()
        after = service.count()
        wait_until(lambda: service.count() > after + 20, 20, "execs with the other replica")

    execs = service.exec_while(replace)
    assert execs - (service.count() - before) <= THREADS
