"""From a question of the API server to its answer: whether the session is recorded, and that it is announced first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from podcorder_crds import Mode, SessionKind, Source
from podcorder_operator.api import Api
from podcorder_operator.errors import ApiError, Conflict, NotFound
from podcorder_operator.metadata import read_conditions, read_mapping
from podcorder_operator.policies import Policy
from podcorder_operator.resources import PODS, RECORDED_SESSIONS
from podcorder_operator.sessions.pods import Pod, read_pod
from podcorder_operator.sessions.records import Unrecordable, is_same_user, make_record, name_of, other_name_of
from podcorder_operator.sessions.requests import KINDS, SessionRequest, read_requests
from podcorder_operator.sessions.reviews import Review, Verdict
from podcorder_operator.sessions.selection import find_candidates, mode_of, redact, select
from podcorder_operator.strictness import Strictness
from podcorder_operator.world import World

logger = logging.getLogger(__name__)

DEADLINE = 4.0
"""Seconds until an answer, so that it is still one when the API server's 5 end."""
MAX_REQUESTS = 64
"""Sessions that one request may begin; more containers than that are not added by hand."""


_NEVER_REFUSED = (Source.POD, Source.NODE_PROXY)
"""Pods are created whatever becomes of the record, and no policy is about a kubelet."""
_SHORT_COMMAND = 2048
_QUIET_SECONDS = 10.0
"""Requests without a record are many where there is one: the metrics count them, the log tells of some."""
_GUARDED = frozenset((SessionKind.EXEC, SessionKind.ATTACH, SessionKind.DEBUG))
"""Kinds of session that the node's recorder tells of; what a port forwards is in no recording."""
_STRICT = "and a Strict policy lets nobody in unrecorded: try again, or ask who runs Podcorder."


@dataclass(frozen=True, slots=True)
class _Announcement:
    """A session that is recorded."""

    request: SessionRequest
    pod: Pod | None
    policies: Sequence[Policy]
    """Those that record it; none for requests to kubelets, which are recorded whatever policies say."""


class _Impossible(Exception):
    """The request cannot begin a session: the API server refuses it after this."""


class Announcer:
    """Answers as fast as the API server lets it. Its answers depend on no other replica."""

    def __init__(self, world: World, strictness: Strictness, api: Api, namespace: str, key: bytes) -> None:
        """`namespace`: the operator's own; `key`: of the commands' digests."""
        self._world = world
        self._strictness = strictness
        self._api = api
        self._namespace = namespace
        self._key = key
        self._told = -_QUIET_SECONDS
        """When the log was last told of a request without a record."""

    async def answer(self, review: Review) -> Verdict:
        """Never raises. Without a record a session begins where no Strict policy can be about it, and is counted."""
        requests = read_requests(review)
        candidates = find_candidates(self._world, review.namespace, KINDS[review.source])
        if not requests or (not candidates and review.source is not Source.NODE_PROXY):
            return Verdict("unselected")
        try:
            async with asyncio.timeout(DEADLINE):
                return await self._announce_all(review, requests, candidates)
        except _Impossible:
            return Verdict("impossible")
        except (ApiError, TimeoutError, Unrecordable) as error:
            return self._fail(review, candidates, str(error) or f"the API server took longer than {DEADLINE:.0f} s")
        except Exception as error:
            logger.exception("A request for %s of %s could not be answered.", review.source, review.name)
            return self._fail(review, candidates, f"a fault of Podcorder's, {type(error).__name__}")

    async def _announce_all(
        self, review: Review, requests: Sequence[SessionRequest], candidates: Sequence[Policy]
    ) -> Verdict:
        announcements = await self._select(review, requests, candidates)
        if not announcements:
            return Verdict("unselected")
        if len(announcements) > MAX_REQUESTS:
            raise Unrecordable(f"it begins more than {MAX_REQUESTS} sessions at once")
        if problem := self._find_problem(review, announcements):
            return Verdict("refused", refusal=f"Podcorder lets no session begin here now: {problem}.")
        if review.dry_run:
            return Verdict("dry_run")
        created = await asyncio.gather(*(self._announce(review, each) for each in announcements))
        return Verdict("announced", records=tuple(created))

    def _find_problem(self, review: Review, announcements: Sequence[_Announcement]) -> str:
        """Why Strict policies refuse the request; empty where they do not."""
        for each in announcements:
            gated = each.request.kind in _GUARDED and self._mode(review, each.policies) is Mode.STRICT
            if each.pod and gated and (problem := self._strictness.check(each.pod.node, each.policies)):
                return problem
        return ""

    async def _select(
        self, review: Review, requests: Sequence[SessionRequest], candidates: Sequence[Policy]
    ) -> list[_Announcement]:
        """Those that are to be recorded. Raises _Impossible and ApiError."""
        if review.source is Source.NODE_PROXY:
            return [_Announcement(request, None, ()) for request in requests]
        pod = await self._read_pod(review)
        found = []
        for request in requests:
            request = _name_container(request, pod)
            if policies := select(self._world, candidates, pod, request):
                found.append(_Announcement(request, pod, policies))
        return found

    async def _read_pod(self, review: Review) -> Pod:
        """The pod that the review is about: it brings it along where it is not a CONNECT."""
        try:
            raw = review.object if review.old or review.source is Source.POD else await self._get_pod(review)
        except NotFound:
            raise _Impossible from None
        pod = read_pod(raw)
        if pod is None or not pod.node:
            raise _Impossible
        return pod

    async def _get_pod(self, review: Review) -> dict[str, Any]:
        return await self._api.get(PODS, review.name, namespace=review.namespace)

    async def _announce(self, review: Review, announcement: _Announcement) -> str:
        """Creates the record, and returns its namespace/name. Raises ApiError and Unrecordable."""
        request, pod, policies = announcement.request, announcement.pod, announcement.policies
        if pod and request.kind is SessionKind.ATTACH and request.container in pod.ephemeral:
            name = await self._find_own_debugger(review, request, pod)
            if name:
                return f"{review.namespace}/{name}"
        namespace = review.namespace if pod else self._namespace
        record = make_record(
            name_of(review, request, pod),
            review,
            request,
            pod,
            command=await _redact(request.command, policies),
            mode=self._mode(review, policies) if policies else None,
            key=self._key,
        )
        try:
            await self._api.create(RECORDED_SESSIONS, record, namespace=namespace)
        except Conflict:
            # The name of a CONNECT has the review's uid in it: it has been asked before.
            if pod and request.kind is SessionKind.DEBUG and not await self._is_pending(review, record, namespace):
                record["metadata"]["name"] = other_name_of(review, request, pod)
                await self._api.create(RECORDED_SESSIONS, record, namespace=namespace)
        return f"{namespace}/{record['metadata']['name']}"

    async def _find_own_debugger(self, review: Review, request: SessionRequest, pod: Pod) -> str:
        """The record of the container that somebody attaches to, where the same person added it: `kubectl debug -it`
        does both, and that is one session. Empty where somebody else did."""
        name = name_of(review, replace(request, kind=SessionKind.DEBUG), pod)
        try:
            record = await self._api.get(RECORDED_SESSIONS, name, namespace=review.namespace)
        except NotFound:
            return ""
        return name if is_same_user(record, review) else ""

    async def _is_pending(self, review: Review, record: dict[str, Any], namespace: str) -> bool:
        """Whether the record of that name is of the same person, and still waits for its session."""
        stored = await self._api.get(RECORDED_SESSIONS, record["metadata"]["name"], namespace=namespace)
        return is_same_user(stored, review) and "Started" not in read_conditions(read_mapping(stored.get("status")))

    def _mode(self, review: Review, policies: Sequence[Policy]) -> Mode:
        """Of sessions that these policies may record, as it is carried out."""
        gated = review.source not in _NEVER_REFUSED and review.namespace not in self._strictness.open_namespaces
        return mode_of(policies) if gated else Mode.BEST_EFFORT

    def _fail(self, review: Review, candidates: Sequence[Policy], why: str) -> Verdict:
        """What becomes of a request of which no record could be made, by the policies that may be about it."""
        if self._mode(review, candidates) is Mode.STRICT:
            return Verdict(
                "refused", refusal=f"Podcorder could not record who asks for this session ({why}), {_STRICT}"
            )
        now = asyncio.get_running_loop().time()
        if now - self._told > _QUIET_SECONDS:
            self._told = now
            logger.warning("A request for %s is allowed without a record: %s.", review.source, why)
        return Verdict("failed")


async def _redact(command: Sequence[str], policies: Sequence[Policy]) -> tuple[str, ...]:
    """In a thread where it takes long, so that nobody else waits for it."""
    if sum(map(len, command)) <= _SHORT_COMMAND:
        return redact(command, policies)
    return await asyncio.to_thread(redact, command, policies)


def _name_container(request: SessionRequest, pod: Pod) -> SessionRequest:
    """The request with the container that the API server takes where none is named. Raises _Impossible."""
    if request.container or request.kind not in (SessionKind.EXEC, SessionKind.ATTACH):
        return request
    if len(pod.containers) != 1:
        raise _Impossible
    return replace(request, container=pod.containers[0])
