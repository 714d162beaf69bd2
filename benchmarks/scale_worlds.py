"""A large cluster without machines: nodes, namespaces and policies as plain objects, written many at a time."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Self

import aiohttp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from fixtures.agents import make_status

from podcorder_operator.resources import CLUSTER_POLICIES, CONFIGS, NAMESPACES, NODES, POLICIES, Resource

CONNECTIONS = 32
APPLY = "application/apply-patch+yaml"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
TEAMS, ZONES = 25, 10

Object = dict[str, Any]


class Writer:
    """Many requests at a time to one API server."""

    def __init__(self, url: str, token: str, authority: Path) -> None:
        self._url = url
        self._tls = ssl.create_default_context(cafile=str(authority))
        self._headers = {"Authorization": f"Bearer {token}"}
        self._gate = asyncio.Semaphore(CONNECTIONS)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls, limit=0),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=1 << 20,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(
        self, method: str, path: str, body: Object | None = None, *, kind: str = "application/json", accept: str = ""
    ) -> bytes:
        """The answer's body. Raises RuntimeError for every status of 400 and above."""
        headers = {"Content-Type": kind} | ({"Accept": accept} if accept else {})
        data = None if body is None else json.dumps(body).encode()
        async with self._gate, self._session.request(method, self._url + path, data=data, headers=headers) as answer:
            text = await answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
            return text

    async def apply(
        self, resource: Resource, body: Object, *, manager: str = "benchmark", subresource: str = ""
    ) -> None:
        """Server-side apply, by force."""
        metadata = body["metadata"]
        path = resource.path(metadata["name"], namespace=metadata.get("namespace", ""), subresource=subresource)
        query = f"?fieldManager={manager}&force=true"
        await self.send("PATCH", path + query, identify(resource, body), kind=APPLY)

    async def create_all(self, resource: Resource, bodies: Iterable[Object]) -> None:
        await asyncio.gather(
            *(
                self.send(
                    "POST", resource.path(namespace=body["metadata"].get("namespace", "")), identify(resource, body)
                )
                for body in bodies
            )
        )

    async def apply_all(self, resource: Resource, bodies: Iterable[Object], **options: str) -> None:
        await asyncio.gather(*(self.apply(resource, body, **options) for body in bodies))

    async def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        await self.send("DELETE", resource.path(name, namespace=namespace))

    async def list(self, resource: Resource, *, accept: str = "") -> Object:
        listed: Object = json.loads(await self.send("GET", resource.path(), accept=accept))
        return listed

    async def watch_metadata(self, resource: Resource, resource_version: str) -> AsyncIterator[tuple[str, Object]]:
        """Type and metadata of every change after that version."""
        query = f"?watch=true&resourceVersion={resource_version}"
        async with self._session.get(self._url + resource.path() + query, headers={"Accept": METADATA}) as answer:
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise RuntimeError(f"the watch of {resource.plural}: {event['object']}")
                yield event["type"], event["object"]["metadata"]


def identify(resource: Resource, body: Object) -> Object:
    return {"apiVersion": resource.api_version, "kind": resource.kind, **body}


def make_node(number: int) -> Object:
    """A node of the size that kubelets write: about 10 KiB, most of it images."""
    images = [
        {
            "names": [f"registry.example.com/team-{each % 7}/service-{each}@sha256:{number * 50 + each:064x}"],
            "sizeBytes": 50_000_000 + each,
        }
        for each in range(50)
    ]
    conditions = [
        {
            "type": kind,
            "status": "True" if kind == "Ready" else "False",
            "reason": f"Kubelet{kind}",
            "message": "as it should be",
        }
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    ]
    labels = {
        "kubernetes.io/hostname": f"node-{number}",
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": f"large-{number % 4}",
        "topology.kubernetes.io/zone": f"zone-{number % ZONES}",
    }
    return {
        "metadata": {"name": f"node-{number}", "labels": labels},
        "status": {
            "capacity": {"cpu": "64", "memory": "256Gi", "pods": "110"},
            "conditions": conditions,
            "images": images,
        },
    }


def make_namespace(number: int) -> Object:
    labels = {"team": f"team-{number % TEAMS}", "tier": ("front", "back")[number % 2]}
    return {"metadata": {"name": namespace_name(number), "labels": labels}}


def namespace_name(number: int) -> str:
    return f"namespace-{number}"


def make_spec(random: Random) -> Object:
    """What a careful administrator writes: filters on files and peers, some rules of redaction; 1 to 3 KiB."""
    prefixes = [
        f"/srv/{random.choice(('data', 'app', 'keys'))}/{random.randrange(10**6)}/"
        for _ in range(random.randint(10, 60))
    ]
    networks = [f"10.{random.randrange(256)}.{each}.0/24" for each in range(random.randint(1, 10))]
    rules = [
        {"name": f"rule-{each}", "pattern": f"x-secret-{each}=([A-Za-z0-9+/]{{16,64}})"}
        for each in range(random.randint(0, 5))
    ]
    return {
        "podSelector": {"matchLabels": {"app": f"app-{random.randrange(50)}"}},
        "sessions": ["Attach", "Debug", "Exec", "PortForward"],
        "events": {
            "commands": {},
            "files": {"access": ["Write"], "paths": {"include": sorted({*prefixes}), "exclude": ["/proc/", "/sys/"]}},
            "network": {"directions": ["Outbound"], "peers": {"exclude": networks}},
        },
        "redaction": {"rules": rules},
        "rateLimits": {"recordsPerSecond": 1000},
    }


def make_policies(count: int, namespaces: int, random: Random) -> list[Object]:
    """Namespaced policies, each in a namespace of its own while these last."""
    return [
        {
            "metadata": {"name": f"policy-{number}", "namespace": namespace_name(number * 3 % namespaces)},
            "spec": make_spec(random),
        }
        for number in range(count)
    ]


def make_cluster_policies(count: int, random: Random) -> list[Object]:
    """A quarter for everything, the others for one team's namespaces or one zone's nodes or both."""
    policies = []
    for number in range(count):
        spec = make_spec(random)
        if number % 4 in (1, 3):
            spec["namespaceSelector"] = {"matchLabels": {"team": f"team-{number % TEAMS}"}}
        if number % 4 in (2, 3):
            spec["nodeSelector"] = {"matchLabels": {"topology.kubernetes.io/zone": f"zone-{number % ZONES}"}}
        policies.append({"metadata": {"name": f"policy-{number}"}, "spec": spec})
    return policies


def place(nodes: int, namespaces: int, present: int, lonely: int, random: Random) -> list[list[str]]:
    """The namespaces of each node: so many present on each; the first `lonely` namespaces are on one node each."""
    shared = range(lonely, namespaces)
    placed = []
    for node in range(nodes):
        own = [node] if node < lonely else []
        placed.append([namespace_name(each) for each in (*own, *random.sample(shared, present - len(own)))])
    return placed


async def report_all(
    writer: Writer, names: Sequence[str], placed: Sequence[Sequence[str]], applied: Sequence[int] | None = None
) -> None:
    """Every node's agent says which namespaces it has, and which generation it has applied where one is given."""
    statuses = (
        {"metadata": {"name": name}, "status": make_status(generation, namespaces)}
        for name, namespaces, generation in zip(names, placed, applied or [0] * len(names), strict=True)
    )
    await writer.apply_all(CONFIGS, statuses, manager="podcorder-agent", subresource="status")


async def populate(writer: Writer, nodes: int, namespaces: int, policies: int, random: Random) -> None:
    """Everything but what the operator writes; four fifths of the policies are namespaced."""
    await writer.create_all(NAMESPACES, map(make_namespace, range(namespaces)))
    await writer.create_all(NODES, map(make_node, range(nodes)))
    cluster_wide = policies // 5
    await writer.create_all(POLICIES, make_policies(policies - cluster_wide, namespaces, random))
    await writer.create_all(CLUSTER_POLICIES, make_cluster_policies(cluster_wide, random))
