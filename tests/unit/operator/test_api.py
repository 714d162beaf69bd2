"""Requests to the API server: what is sent, and what an answer becomes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from fixtures.api_server import ApiServer, status
from kubernetes.aio.client.configuration import Configuration

from podcorder_operator.api import Api
from podcorder_operator.credentials import load_configuration
from podcorder_operator.errors import (
    ApiError,
    Conflict,
    CredentialsMissing,
    Gone,
    NotFound,
    Refused,
    TooManyRequests,
    Unavailable,
)
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import CONFIGS, POLICIES

NODE = CONFIGS.path("node-1")


@asynccontextmanager
async def connected(timeout: float = 10.0) -> AsyncIterator[tuple[ApiServer, Api]]:
    async with ApiServer() as server, Api(server.configuration(), Metrics(), timeout=timeout) as api:
        yield server, api


def test_apply() -> None:
    """What is applied is named in full, forced, and under the operator's field manager."""

    async def test() -> None:
        async with connected() as (server, api):
            stored = await api.apply(CONFIGS, "node-1", {"spec": {"nodeName": "node-1"}})
            assert stored["metadata"]["resourceVersion"]
            (request,) = server.seen
            assert (request.verb, request.path) == ("patch", NODE)
            assert request.query == {"fieldManager": "podcorder-operator", "force": "true"}
            assert request.headers["Content-Type"] == "application/apply-patch+yaml"
            assert request.headers["Authorization"] == "bearer secret"
            assert request.body == {
                "apiVersion": "podcorder.dev/v1alpha1",
                "kind": "NodeRecordingConfig",
                "metadata": {"name": "node-1"},
                "spec": {"nodeName": "node-1"},
            }

    asyncio.run(test())


def test_apply_status() -> None:
    """A status goes to its subresource, with the namespace in the body as well."""

    async def test() -> None:
        async with connected() as (server, api):
            server.put(POLICIES.path("exec", namespace="shop"))
            await api.apply(POLICIES, "exec", {"status": {}}, namespace="shop", subresource="status")
            (request,) = server.seen
            assert request.path == "/apis/podcorder.dev/v1alpha1/namespaces/shop/sessionrecordingpolicies/exec/status"
            assert request.body["metadata"] == {"name": "exec", "namespace": "shop"}

    asyncio.run(test())


def test_delete() -> None:
    """Only the object with that uid is deleted; one that is gone already, or is another by now, is no error."""

    async def test() -> None:
        async with connected() as (server, api):
            uid = server.put(NODE)["metadata"]["uid"]
            await api.delete(CONFIGS, "node-1", uid="another")
            assert NODE in server.objects
            await api.delete(CONFIGS, "node-1", uid=uid)
            assert NODE not in server.objects
            await api.delete(CONFIGS, "node-1", uid=uid)

    asyncio.run(test())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (422, Refused),
        (429, TooManyRequests),
        (500, Unavailable),
        (504, Unavailable),
    ],
)
def test_errors(code: int, kind: type[ApiError]) -> None:
    """An error has the class of its HTTP status and says what the API server said."""

    async def test() -> None:
        async with connected() as (server, api):

            async def answer(_: web.Request) -> web.StreamResponse:
                return status(code, "Why", "it is so")

            server.scripts["get"].append(answer)
            with pytest.raises(ApiError) as caught:
                await api.get(CONFIGS, "node-1")
            assert type(caught.value) is kind
            assert (caught.value.status, caught.value.reason, str(caught.value)) == (code, "Why", "it is so")

    asyncio.run(test())


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("0", 0.0), ("99999", 120.0), ("-1", 0.0), ("soon", None)])
def test_retry_after(text: str, seconds: float | None) -> None:
    """Retry-After is read as seconds, within bounds; what is no number is ignored."""

    async def test() -> None:
        async with connected() as (server, api):

            async def answer(_: web.Request) -> web.StreamResponse:
                return status(503, "Busy", "later", headers={"Retry-After": text})

            server.scripts["get"].append(answer)
            with pytest.raises(Unavailable) as caught:
                await api.get(CONFIGS, "node-1")
            assert caught.value.retry_after == seconds

    asyncio.run(test())


async def answer_html(_: web.Request) -> web.StreamResponse:
    return web.Response(status=502, text="<html>Bad gateway</html>", content_type="text/html")


async def answer_garbage(_: web.Request) -> web.StreamResponse:
    return web.Response(text="garbage")


async def answer_a_list(_: web.Request) -> web.StreamResponse:
    return web.Response(text="[]")


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(5)
    return web.Response()


async def abort(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.abort()
    return response


@pytest.mark.parametrize("answer", [answer_html, answer_garbage, answer_a_list, hang, abort, cut_off])
def test_unavailable(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    """Whatever is no answer of an API server is Unavailable, and no other exception."""

    async def test() -> None:
        async with connected(timeout=0.3) as (server, api):
            server.scripts["get"].extend([answer] * 2)  # aiohttp itself repeats a lost GET once
            with pytest.raises(Unavailable):
                await api.get(CONFIGS, "node-1")

    asyncio.run(test())


def test_a_watch_that_does_not_begin() -> None:
    """A watch may be silent for long, but one that is not even accepted in time is Unavailable."""

    async def test() -> None:
        async with connected(timeout=0.3) as (server, api):
            server.scripts["watch"].extend([hang] * 2)
            with pytest.raises(Unavailable):
                async with asyncio.timeout(5), api.watch(CONFIGS, "1"):
                    pass

    asyncio.run(test())


def test_nobody_there() -> None:
    """An address where nothing listens is Unavailable, with the address in the sentence."""

    async def test() -> None:
        async with Api(Configuration(host="http://127.0.0.1:1"), Metrics()) as api:
            with pytest.raises(Unavailable, match=r"no answer from http://127\.0\.0\.1:1/apis"):
                await api.get(CONFIGS, "node-1")

    asyncio.run(test())


def test_requests_are_counted() -> None:
    """Each request is counted by verb, resource and status, with 0 for no answer."""

    async def test() -> None:
        metrics = Metrics()
        async with ApiServer() as server, Api(server.configuration(), metrics) as api:
            server.scripts["get"].extend([abort] * 2)
            for _ in range(2):
                with pytest.raises(ApiError):
                    await api.get(CONFIGS, "node-1")
        text = metrics.render().decode()
        name = 'podcorder_operator_api_requests_total{code="%d",resource="noderecordingconfigs",verb="get"} 1.0'
        assert name % 0 in text
        assert name % 404 in text

    asyncio.run(test())


def test_no_credentials(tmp_path: Path) -> None:
    """Without a kubeconfig or a service account the error says what to do."""
    for environment in ({"KUBECONFIG": str(tmp_path / "none")}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}):
        with pytest.raises(CredentialsMissing, match="set KUBECONFIG"):
            asyncio.run(load_configuration(environment))


def test_broken_kubeconfig(tmp_path: Path) -> None:
    """A kubeconfig that is no YAML, or names no cluster, is an error that names the file."""
    file = tmp_path / "kubeconfig"
    for text in ("{", "[]", "apiVersion: v1\nkind: Config\n"):
        file.write_text(text)
        with pytest.raises(CredentialsMissing, match=str(file)):
            asyncio.run(load_configuration({"KUBECONFIG": str(file)}))
