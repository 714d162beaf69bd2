"""AdmissionReviews of requests that begin sessions: what the API server asks, and how it is answered. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podcorder_crds import Source
from podcorder_operator.metadata import read_mapping, read_text

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"

_SOURCES: Mapping[tuple[str, ...], Source] = {
    ("CONNECT", "pods", "exec"): Source.EXEC,
    ("CONNECT", "pods", "attach"): Source.ATTACH,
    ("CONNECT", "pods", "portforward"): Source.PORT_FORWARD,
    ("UPDATE", "pods", "ephemeralcontainers"): Source.EPHEMERAL_CONTAINER,
    ("CREATE", "pods", ""): Source.POD,
    ("CONNECT", "nodes", "proxy"): Source.NODE_PROXY,
}
"""By operation, resource and subresource, all of the core group."""


class Garbled(Exception):
    """`str()` says why a body is no review of a request that begins a session."""


@dataclass(frozen=True, slots=True)
class Review:
    """One question of the API server."""

    uid: str
    """Of this question alone: the API server gives each webhook that it asks another one, and none is its audit id."""
    source: Source
    namespace: str
    """Empty for nodes."""
    name: str
    """Of the pod; of a node as the request gave it, see `read_node_name`."""
    user: Mapping[str, Any]
    """authentication.k8s.io/v1 UserInfo: under impersonation of the user that the request is granted as."""
    dry_run: bool
    object: Mapping[str, Any]
    """The options of a CONNECT, else the pod as it would be."""
    old: Mapping[str, Any]
    """The pod as it is; empty but for an UPDATE."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question."""

    outcome: str
    """For the metrics."""
    refusal: str = ""
    """For the person who asked; empty: allowed."""
    records: tuple[str, ...] = ()
    """The RecordedSessions that tell of the request, each as namespace/name."""


def read_review(raw: Any) -> Review:
    """Raises Garbled."""
    request = raw.get("request") if isinstance(raw, dict) else None
    if not isinstance(request, dict) or (raw.get("apiVersion"), raw.get("kind")) != (API_VERSION, KIND):
        raise Garbled(f"it is no {KIND} of {API_VERSION} with a request")
    resource = read_mapping(request.get("resource"))
    asked = tuple(map(read_text, (request.get("operation"), resource.get("resource"), request.get("subResource"))))
    source = _SOURCES.get(asked) if resource.get("group", "") == "" else None
    if source is None:
        raise Garbled(f"no session begins with {asked}")
    uid, user = request.get("uid"), read_mapping(request.get("userInfo"))
    if not isinstance(uid, str) or not uid:
        raise Garbled("the request has no uid")
    return Review(
        uid,
        source,
        read_text(request.get("namespace")),
        read_text(request.get("name")),
        user,
        request.get("dryRun") is True,
        read_mapping(request.get("object")),
        read_mapping(request.get("oldObject")),
    )


def write_answer(review: Review, verdict: Verdict) -> dict[str, Any]:
    """The AdmissionReview that answers. Where there are records, its audit annotations lead from the API server's audit
    log to them: their names, and the uid of the question, which is their `spec.request.id`."""
    response: dict[str, Any] = {"uid": review.uid, "allowed": not verdict.refusal}
    if verdict.refusal:
        response["status"] = {"code": 403, "reason": "Forbidden", "message": verdict.refusal}
    if verdict.records:
        response["auditAnnotations"] = {"request": review.uid, "records": ",".join(verdict.records)}
    return {"apiVersion": API_VERSION, "kind": KIND, "response": response}
