"""The API server, as far as an agent needs it: plain JSON over urllib3.

The Kubernetes client's typed models would cost more memory than all the rest of the agent, so none is used.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError, ReadTimeoutError

from podcorder_agent.cluster.credentials import Credentials
from podcorder_agent.cluster.errors import ApiError, Unavailable, make_api_error
from podcorder_agent.cluster.lists import ListReader

FIELD_MANAGER = "podcorder-agent"

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 24
"""Bytes: far more than etcd stores of one object."""
_WATCH_SECONDS = (240, 360)
"""A watch ends by itself after a time between these, so that agents spread over API servers."""
_LONGEST_ASKED = 120.0
"""Seconds: nobody is kept waiting for longer, whatever a Retry-After says."""
_NO_ANSWER = "no_answer"

Object = dict[str, Any]


class Event(NamedTuple):
    """One line of a watch."""

    type: str
    """ADDED, MODIFIED, DELETED or BOOKMARK."""
    object: Object


class Api:
    """Requests by path, from any thread. Every method raises ApiError, and nothing else."""

    def __init__(self, credentials: Credentials, *, timeout: float = 10.0, silence: float = 150.0) -> None:
        """`timeout`: seconds for a request, watches apart. `silence`: seconds without a word that end a watch: a
        connection that broke unseen is found by that. Raises CredentialsMissing."""
        self.errors: Counter[str] = Counter()
        """Requests that failed, by HTTP status; `no_answer` where none came."""
        self._credentials = credentials
        self._pool = urllib3.PoolManager(maxsize=8, retries=False, ssl_context=credentials.tls())
        self._timeout = urllib3.Timeout(connect=timeout, read=timeout)
        self._watch_timeout = urllib3.Timeout(connect=timeout, read=silence)

    @contextmanager
    def list(self, path: str, selector: str) -> Iterator[ListReader]:
        """What a field selector selects, as of one moment. Not in pages: for those the API server would read the pods
        of all nodes from etcd, where it has those of each node at hand."""
        with self._request("GET", path, {"fieldSelector": selector}, timeout=self._timeout) as response:
            yield ListReader(response.stream(_CHUNK))

    def watch(
        self, path: str, selector: str, resource_version: str, begun: Callable[[], None] = lambda: None
    ) -> Iterator[Event]:
        """What changed after a resource version, until the API server ends the watch or is silent for too long: where
        etcd reports no progress, a quiet collection has no bookmarks. `begun` is called when the API server has taken
        the request. Raises Gone."""
        query = {
            "fieldSelector": selector,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(random.randint(*_WATCH_SECONDS)),
        }
        with self._request("GET", path, query, timeout=self._watch_timeout) as response:
            begun()
            try:
                for line in _read_lines(response):
                    event = _parse_event(line)
                    if event.type == "ERROR":
                        raise _read_status(500, event.object)
                    yield event
            except ReadTimeoutError:
                return

    def get(self, path: str) -> Object:
        """Raises NotFound, among others."""
        return self._ask("GET", path)

    def create(self, path: str, body: Object) -> Object:
        """Raises Conflict where one of its name is there already. `path`: of the collection."""
        return self._ask("POST", path, body=body)

    def replace(self, path: str, body: Object) -> Object:
        """Raises Conflict when the body's resourceVersion is not the latest."""
        return self._ask("PUT", path, body=body)

    def merge(self, path: str, change: Object) -> Object:
        """Merge patch; returns the stored object. A server-side apply would be refused for good once another version
        of the kind, with other fields, has taken the place of the one that was last applied to."""
        return self._ask("PATCH", path, {"fieldManager": FIELD_MANAGER}, change, "application/merge-patch+json")

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
    ) -> Object:
        with self._request(method, path, query, body, content) as response:
            return _parse(response.read(decode_content=True))

    @contextmanager
    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Object | None = None,
        content: str = "application/json",
        timeout: urllib3.Timeout | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """A response without error, whose body is still to be read."""
        headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
        if token := self._credentials.token():
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = content
        try:
            response = self._pool.request(
                method,
                self._credentials.url + path + (f"?{urlencode(query)}" if query else ""),
                body=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=timeout or self._timeout,
                preload_content=False,
                redirect=False,
            )
            try:
                if response.status >= 300:
                    raise _read_error(response)
                yield response
            finally:
                # What is left half-way, as every watch is, cannot be used again.
                response.close() if timeout else response.release_conn()
        except ApiError as error:
            self.errors[str(error.status or _NO_ANSWER)] += 1
            raise
        except (HTTPError, OSError) as error:
            self.errors[_NO_ANSWER] += 1
            raise Unavailable(0, f"no answer from {self._credentials.url}: {error}") from error


def _read_lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(bytes.strip, lines)
        if len(rest) > _LONGEST_LINE:
            raise Unavailable(0, f"one line of a watch is longer than {_LONGEST_LINE} bytes")


def _parse(text: bytes) -> Object:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unavailable(0, f"the answer is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise Unavailable(0, "the answer is not a JSON object")
    return document


def _parse_event(line: bytes) -> Event:
    document = _parse(line)
    kind, content = document.get("type"), document.get("object")
    if not isinstance(kind, str) or not isinstance(content, dict):
        raise Unavailable(0, "a line of a watch is not an event")
    return Event(kind, content)


def _read_error(response: urllib3.BaseHTTPResponse) -> ApiError:
    text = response.read(1 << 16, decode_content=True)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    asked = response.headers.get("Retry-After", "")
    retry_after = min(float(asked), _LONGEST_ASKED) if asked.isdecimal() else None
    if isinstance(document, dict):
        return _read_status(response.status, document, retry_after)
    return make_api_error(response.status, text[:200].decode(errors="replace").strip(), retry_after)


def _read_status(status: int, document: Object, retry_after: float | None = None) -> ApiError:
    """Of a Status object (Kubernetes API conventions); a watch has nothing but that."""
    code = document.get("code")
    return make_api_error(code if isinstance(code, int) else status, str(document.get("message", "")), retry_after)
