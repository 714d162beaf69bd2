"""The entry that fails closed: where it refuses, and that it never outlives its reasons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fixtures.api_server import ApiServer
from fixtures.strict_worlds import OWN, SHOP, StrictWorld

from podcorder_operator.api import Api
from podcorder_operator.errors import Conflict
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import NAMESPACES, POLICIES
from podcorder_operator.strictness import SYSTEM_NAMESPACES, Scope
from podcorder_operator.webhook_entries import (
    CONFIGURATION,
    FIELD_MANAGER,
    OPEN_ENTRY,
    STRICT_ENTRY,
    WEBHOOKS,
    EntryWriter,
    apply_entries,
    make_entries,
    remove_entry,
)

PATH = WEBHOOKS.path(CONFIGURATION)
NAME = "kubernetes.io/metadata.name"
OPEN = SYSTEM_NAMESPACES | {OWN}
CHART: dict[str, Any] = {
    "name": OPEN_ENTRY,
    "failurePolicy": "Ignore",
    "timeoutSeconds": 5,
    "namespaceSelector": {},
    "clientConfig": {"service": {"name": "podcorder-operator"}, "caBundle": "abc"},
    "rules": [{"operations": ["CONNECT"], "resources": ["pods/exec"]}],
}
OTHER = {"name": "node-sessions.podcorder.dev", "failurePolicy": "Ignore"}
SCOPES = [Scope((SHOP,)), Scope((SHOP, "web")), Scope(everywhere=True)]


def store(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": CONFIGURATION, "uid": "uid", "resourceVersion": "1"}, "webhooks": list(entries)}


def merge(stored: dict[str, Any], entries: list[dict[str, Any]]) -> dict[str, Any]:
    """As server-side apply does with a list of named entries, of which the last apply had no others."""
    known = {each["name"]: each for each in stored["webhooks"] if each["name"] != STRICT_ENTRY}
    known[OPEN_ENTRY] = {**known[OPEN_ENTRY], "namespaceSelector": {}}
    for each in entries:
        known[each["name"]] = {**known.get(each["name"], {}), **each}
    return store(*known.values())


def asked(stored: dict[str, Any], namespace: str) -> list[str]:
    """The entries that a request in a namespace goes to; what is not about namespaces is left aside."""
    found = []
    for each in stored["webhooks"]:
        expressions = each.get("namespaceSelector", {}).get("matchExpressions", [])
        assert all(one["key"] == NAME for one in expressions)
        if each["name"] != OTHER["name"] and all(
            (namespace in one["values"]) == (one["operator"] == "In") for one in expressions
        ):
            found.append(each["name"])
    return found


@pytest.mark.parametrize("scope", SCOPES)
def test_every_request_is_asked_about_once(scope: Scope) -> None:
    """Each namespace is one entry's: the strict one's where the scope has it, and never the system's or our own."""
    entries = make_entries(store(CHART, OTHER), scope, OPEN)
    assert entries is not None
    stored = merge(store(CHART, OTHER), entries)
    for namespace in (SHOP, "web", "blog", *OPEN):
        strict = namespace not in OPEN and (scope.everywhere or namespace in scope.names)
        assert asked(stored, namespace) == [STRICT_ENTRY if strict else OPEN_ENTRY]


def test_it_is_the_charts_but_for_failing_closed() -> None:
    """What the chart says of its entry is said of the strict one too, and said anew when it changes."""
    entries = make_entries(store(CHART, OTHER), Scope((SHOP,)), OPEN)
    assert entries is not None
    strict = entries[1]
    changed = {"name": STRICT_ENTRY, "failurePolicy": "Fail", "namespaceSelector": strict["namespaceSelector"]}
    assert strict == CHART | changed
    stored = merge(store(CHART, OTHER), entries)
    assert make_entries(stored, Scope((SHOP,)), OPEN) is None
    stored["webhooks"][0]["timeoutSeconds"] = 3
    entries = make_entries(stored, Scope((SHOP,)), OPEN)
    assert entries is not None
    assert entries[1]["timeoutSeconds"] == 3


def test_nothing_strict() -> None:
    """Without Strict policies nothing of ours is there; nor where the chart's entry is gone."""
    assert make_entries(store(CHART, OTHER), Scope(), OPEN) is None
    stored = merge(store(CHART, OTHER), make_entries(store(CHART), Scope((SHOP,)), OPEN) or [])
    assert make_entries(stored, Scope(), OPEN) == []
    assert make_entries(store(*stored["webhooks"][1:]), Scope((SHOP,)), OPEN) == []
    assert make_entries(store(), Scope((SHOP,)), OPEN) is None


def play(test: Callable[[ApiServer, Api], Awaitable[None]]) -> None:
    async def run() -> None:
        async with ApiServer() as server, Api(server.configuration(), Metrics()) as api:
            await asyncio.wait_for(test(server, api), 30)

    asyncio.run(run())


def test_a_deleted_configuration_stays_deleted() -> None:
    """An uninstallation that was quicker than the news of it leaves nothing that refuses."""

    async def test(server: ApiServer, api: Api) -> None:
        seen = server.put(PATH, {"webhooks": [CHART]})
        server.remove(PATH)
        server.put(PATH, {"webhooks": [CHART]})
        with pytest.raises(Conflict):
            await apply_entries(api, seen, make_entries(seen, Scope((SHOP,)), OPEN) or [])
        (request,) = server.requests("patch")
        assert request.body["metadata"]["uid"] == seen["metadata"]["uid"]
        assert request.query == {"fieldManager": FIELD_MANAGER, "force": "true"}

    play(test)


def test_removal() -> None:
    """It takes the strict entry away where there is one, and needs neither it nor the configuration."""

    async def test(server: ApiServer, api: Api) -> None:
        await remove_entry(api)
        server.put(PATH, {"webhooks": [CHART]})
        await remove_entry(api)
        assert server.requests("patch") == []
        server.put(PATH, {"webhooks": [CHART, CHART | {"name": STRICT_ENTRY}]})
        await remove_entry(api)
        (request,) = server.requests("patch")
        assert "webhooks" not in request.body

    play(test)


@asynccontextmanager
async def writing(strict: StrictWorld, api: Api) -> AsyncIterator[None]:
    writer = EntryWriter(strict.world, strict.strictness, api, Metrics())
    task = asyncio.create_task(writer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until_patched(server: ApiServer, count: int) -> list[dict[str, Any]]:
    await server.wait_for("patch", count)
    entries: list[dict[str, Any]] = server.requests("patch")[-1].body.get("webhooks", [])
    return entries


def test_it_follows() -> None:
    """The entry comes with the first Strict policy and goes with the last, follows what it selects, and comes again
    where somebody takes it out."""
    strict = StrictWorld()

    async def test(server: ApiServer, api: Api) -> None:
        server.put(PATH, {"webhooks": [CHART]})
        async with writing(strict, api):
            strict.add_policy("mild", mode="BestEffort")
            strict.add_policy()
            (left, shut) = await until_patched(server, 1)
            assert left["namespaceSelector"]["matchExpressions"] == [
                {"key": NAME, "operator": "NotIn", "values": [SHOP]}
            ]
            assert shut["namespaceSelector"]["matchExpressions"] == [{"key": NAME, "operator": "In", "values": [SHOP]}]
            server.put(PATH, {"webhooks": [CHART]})
            assert len(await until_patched(server, 2)) == 2
            strict.put(NAMESPACES, "web")
            strict.put(POLICIES, "exec", "web", spec={"mode": "Strict", "events": {"commands": {}}})
            assert (await until_patched(server, 3))[1]["namespaceSelector"]["matchExpressions"][0]["values"] == [
                SHOP,
                "web",
            ]
            server.put(PATH, {"webhooks": [CHART, CHART | {"name": STRICT_ENTRY}]})
            for namespace in (SHOP, "web"):
                strict.world.drop(POLICIES, namespace, "exec")
            while await until_patched(server, 4):
                await asyncio.sleep(0.01)

    play(test)
