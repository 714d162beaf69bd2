"""The API server, as far as the operator needs it: raw JSON over the Kubernetes client's connections.

The client's typed models take 40 times the time of plain JSON to read an event, so none is used.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException

from podcorder_operator.errors import ApiError, Conflict, NotFound, Unavailable, make_api_error
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import Resource

FIELD_MANAGER = "podcorder-operator"

_BUFFER_BYTES = 1 << 18
_LINE_LIMIT_BYTES = 1 << 24
"""Far more than etcd stores of one object."""
_WATCH_SECONDS = (240, 360)
"""A watch ends by itself after a time between these, so that replicas spread over API servers."""
_SILENCE_SECONDS = 150
"""Where etcd reports progress, the API server sends a bookmark every minute; a connection silent for this long may be
dead, and is replaced."""

_LONGEST_ASKED_SECONDS = 120.0
"""Nobody is kept waiting for longer, whatever a Retry-After says."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list."""

    items: list[dict[str, Any]]
    resource_version: str
    """Of the whole list: a watch from here on misses nothing."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED or BOOKMARK."""
    object: dict[str, Any]


class Api:
    """Requests with one set of connections. Every method raises ApiError, and nothing else."""

    def __init__(
        self,
        configuration: Configuration,
        metrics: Metrics,
        *,
        connections: int = 32,
        timeout: float = 10.0,
        silence: float = _SILENCE_SECONDS,
    ) -> None:
        """`timeout`: seconds for a whole request, or until a watch begins; `silence`: without a word, until it ends."""
        configuration = copy(configuration)  # the token that is read again stays shared
        configuration.connection_pool_maxsize = connections
        configuration.client_session_kwargs = {"read_bufsize": _BUFFER_BYTES}
        self._configuration = configuration
        self._client = RESTClientObject(configuration)
        self._metrics = metrics
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._watch_timeout = aiohttp.ClientTimeout(total=None, connect=timeout, sock_read=silence)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def list_pages(
        self, resource: Resource, *, namespace: str = "", fields: str = "", page: int = 200
    ) -> AsyncGenerator[Page, None]:
        """The whole collection, or what a namespace or a field selector has of it, as of one moment. Raises Gone when
        that moment has become too old on the way."""
        headers = {"Accept": _accept(resource, "PartialObjectMetadataList")}
        query = {"limit": str(page)} | ({"fieldSelector": fields} if fields else {})
        while True:
            document = await self._request_json(
                "list", resource, resource.path(namespace=namespace), query=query, headers=headers
            )
            metadata = document.get("metadata") or {}
            yield Page(document.get("items") or [], metadata.get("resourceVersion", ""))
            if not metadata.get("continue"):
                return
            query["continue"] = metadata["continue"]

    async def list_all(self, resource: Resource, *, namespace: str = "", fields: str = "") -> list[dict[str, Any]]:
        """The same in one piece, for what is small or looked at once."""
        pages = self.list_pages(resource, namespace=namespace, fields=fields)
        return [each async for page in pages for each in page.items]

    @asynccontextmanager
    async def watch(
        self, resource: Resource, resource_version: str, *, namespace: str = "", fields: str = ""
    ) -> AsyncIterator[AsyncIterator[Event]]:
        """Once the API server has taken the watch: what changed after a resource version, until it ends the watch.

        Raises Gone, at the start or on the way.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),
        } | ({"fieldSelector": fields} if fields else {})
        headers = {"Accept": _accept(resource, "PartialObjectMetadata")}
        async with self._request(
            "watch",
            resource,
            resource.path(namespace=namespace),
            query=query,
            headers=headers,
            timeout=self._watch_timeout,
        ) as response:
            yield _read_events(response.content)

    async def get(self, resource: Resource, name: str, *, namespace: str = "") -> dict[str, Any]:
        return await self._request_json("get", resource, resource.path(name, namespace=namespace))

    async def create(
        self, resource: Resource, body: dict[str, Any], *, namespace: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        """Returns the object as it is stored, or would be; raises Conflict where one of its name is there already."""
        return await self._request_json(
            "create",
            resource,
            resource.path(namespace=namespace),
            query={"dryRun": "All"} if dry_run else None,
            body=_complete(resource, body),
        )

    async def replace(
        self, resource: Resource, name: str, body: dict[str, Any], *, namespace: str = ""
    ) -> dict[str, Any]:
        """Returns the stored object; raises Conflict when the body's resourceVersion is not the latest."""
        return await self._request_json(
            "update", resource, resource.path(name, namespace=namespace), body=_complete(resource, body)
        )

    async def apply(
        self,
        resource: Resource,
        name: str,
        body: dict[str, Any],
        *,
        namespace: str = "",
        subresource: str = "",
        manager: str = FIELD_MANAGER,
    ) -> dict[str, Any]:
        """Server-side apply of the fields in `body`; apiVersion, kind and name are added. Returns the stored object."""
        metadata = {"name": name} | ({"namespace": namespace} if namespace else {}) | body.get("metadata", {})
        return await self._request_json(
            "patch",
            resource,
            resource.path(name, namespace=namespace, subresource=subresource),
            query={"fieldManager": manager, "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            body=_complete(resource, body) | {"metadata": metadata},
        )

    async def merge(
        self, resource: Resource, name: str, change: dict[str, Any], *, namespace: str = "", subresource: str = ""
    ) -> dict[str, Any]:
        """Merge patch, for objects that cannot be applied to: those whose types are not the schema's. Returns the
        stored object."""
        return await self._request_json(
            "patch",
            resource,
            resource.path(name, namespace=namespace, subresource=subresource),
            query={"fieldManager": FIELD_MANAGER},
            headers={"Content-Type": "application/merge-patch+json"},
            body=change,
        )

    async def delete(
        self, resource: Resource, name: str, *, namespace: str = "", uid: str = "", version: str = ""
    ) -> bool:
        """Deletes the object, with a `uid` or resource `version` only the one that has it. Returns whether it did: that
        there is no such object is fine."""
        conditions = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if conditions:
            options["preconditions"] = conditions
        try:
            await self._request_json("delete", resource, resource.path(name, namespace=namespace), body=options)
        except NotFound:
            return False
        except Conflict:
            if not conditions:
                raise
            return False
        return True

    async def _request_json(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        async with self._request(
            verb, resource, path, query=query, headers=headers, body=body, timeout=self._timeout
        ) as response:
            return _parse(await response.read())

    @asynccontextmanager
    async def _request(
        self,
        verb: str,
        resource: Resource,
        path: str,
        *,
        timeout: aiohttp.ClientTimeout,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = self._configuration.host + path + (f"?{urlencode(query)}" if query else "")
        status = 0
        try:
            # Compression would cost both sides more than it saves inside a cluster.
            headers = {"User-Agent": FIELD_MANAGER, "Accept-Encoding": "identity"} | (headers or {})
            if token := await self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization"):
                headers["Authorization"] = token
            # A watch may be silent for long, but not before it has begun.
            async with asyncio.timeout(self._timeout.total):
                answer = await self._client.request(
                    _METHODS[verb], url, headers=headers, body=body, _request_timeout=timeout
                )
            async with answer.response as response:
                status = response.status
                if status >= HTTPStatus.BAD_REQUEST:
                    raise _read_error(response, await response.read())
                yield response
        except (aiohttp.ClientError, ConfigException, OSError) as error:
            raise Unavailable(0, type(error).__name__, _describe(error, url)) from error
        finally:
            self._metrics.count_request(verb, resource.plural, status)


_METHODS = {
    "list": "GET",
    "watch": "GET",
    "get": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
}


def _accept(resource: Resource, kind: str) -> str:
    return f"application/json;as={kind};g=meta.k8s.io;v=v1" if resource.metadata_only else "application/json"


def _complete(resource: Resource, body: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": resource.api_version, "kind": resource.kind} | body


async def _read_events(content: aiohttp.StreamReader) -> AsyncIterator[Event]:
    try:
        async for line in _read_lines(content):
            event = _parse_event(line)
            if event.type == "ERROR":
                raise _read_status(HTTPStatus.INTERNAL_SERVER_ERROR, event.object)
            yield event
    except aiohttp.SocketTimeoutError:
        return  # silence is no fault: of a quiet collection some API servers say nothing


async def _read_lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines; what comes after the last line end is an event cut off, which a later watch repeats."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        if len(rest) > _LINE_LIMIT_BYTES:
            raise Unavailable(HTTPStatus.OK, "LineTooLong", "a watch sent a line that is longer than any object may be")


def _parse(text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise Unavailable(HTTPStatus.OK, "NotJson", f"the API server's answer is no JSON: {text[:80]!r}") from error
    if not isinstance(document, dict):
        raise Unavailable(HTTPStatus.OK, "NotAnObject", f"the API server's answer is no object: {text[:80]!r}")
    return document


def _parse_event(line: bytes) -> Event:
    document = _parse(line)
    kind, body = document.get("type"), document.get("object")
    if not isinstance(kind, str) or not isinstance(body, dict):
        raise Unavailable(HTTPStatus.OK, "NotAnEvent", f"a watch sent what is no event: {line[:80]!r}")
    return Event(kind, body)


def _read_error(response: aiohttp.ClientResponse, text: bytes) -> ApiError:
    """From a Status object, or from whatever a proxy on the way says."""
    try:
        status = _parse(text)
    except Unavailable:
        status = {"reason": response.reason or "", "message": text[:200].decode(errors="replace").strip()}
    error = _read_status(response.status, status)
    if (seconds := _read_seconds(response.headers.get("Retry-After"))) is not None:
        error.retry_after = seconds
    return error


def _read_status(status: int, body: dict[str, Any]) -> ApiError:
    code = body.get("code")
    details = body.get("details")
    return make_api_error(
        code if isinstance(code, int) else status,
        str(body.get("reason") or ""),
        str(body.get("message") or ""),
        _read_seconds(details.get("retryAfterSeconds")) if isinstance(details, dict) else None,
    )


def _read_seconds(text: object) -> float | None:
    """None for what is no number of seconds; a Retry-After may also be a date, which the API server never sends."""
    try:
        return min(max(0.0, float(str(text))), _LONGEST_ASKED_SECONDS)
    except ValueError:
        return None


def _describe(error: Exception, url: str) -> str:
    return f"no answer from {url.partition('?')[0]}: {str(error) or type(error).__name__}"
