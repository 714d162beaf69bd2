"""The sessions that a request would begin. No I/O."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from podcorder_crds import SessionKind, Source
from podcorder_operator.metadata import read_mapping, read_text
from podcorder_operator.sessions.reviews import Review

KINDS = {
    Source.EXEC: SessionKind.EXEC,
    Source.ATTACH: SessionKind.ATTACH,
    Source.PORT_FORWARD: SessionKind.PORT_FORWARD,
    Source.EPHEMERAL_CONTAINER: SessionKind.DEBUG,
    Source.POD: SessionKind.DEBUG,
    Source.NODE_PROXY: SessionKind.NODE_PROXY,
}
"""What a request begins."""

_BEGINS_SESSIONS = frozenset(("exec", "run", "attach", "portForward"))
"""First words of the kubelet's paths that lead into containers."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """One session that is asked for."""

    kind: SessionKind
    container: str = ""
    """Empty: the request names none."""
    command: tuple[str, ...] = ()
    """As asked for, with all its secrets."""
    stdin: bool | None = None
    """None: it was not asked."""
    tty: bool | None = None
    ports: tuple[int, ...] = ()
    path: str = ""
    """Of the kubelet, for NodeProxy."""


def read_requests(review: Review) -> tuple[SessionRequest, ...]:
    """What the request would begin: of a pod one session for each of its containers that is new; none where it begins
    none, such as a look at a kubelet's metrics."""
    kind, options = KINDS[review.source], review.object
    match review.source:
        case Source.EXEC | Source.ATTACH:
            return (
                SessionRequest(
                    kind,
                    read_text(options.get("container")),
                    _words(options.get("command")),
                    options.get("stdin") is True,
                    options.get("tty") is True,
                ),
            )
        case Source.PORT_FORWARD:
            return (SessionRequest(kind, ports=_ports(options.get("ports"))),)
        case Source.NODE_PROXY:
            path = posixpath.normpath("/" + read_text(options.get("path")).lstrip("/"))
            begins = path.split("/")[1] in _BEGINS_SESSIONS
            return (SessionRequest(kind, path=path),) if begins else ()
        case Source.EPHEMERAL_CONTAINER:
            before = {read_text(each.get("name")) for each in _containers(review.old, "ephemeralContainers")}
            added = _containers(options, "ephemeralContainers")
            return _debug_requests(each for each in added if read_text(each.get("name")) not in before)
        case Source.POD:
            containers = (*_containers(options, "initContainers"), *_containers(options, "containers"))
            return _debug_requests(containers) if _looks_into_node(options) else ()


def read_node_name(name: str) -> str:
    """A node may be asked for by [scheme:]name[:port], as Kubernetes' own SplitSchemeNamePort reads it."""
    parts = name.split(":")
    return parts[1] if len(parts) == 3 else parts[0]


def _looks_into_node(pod: Mapping[str, Any]) -> bool:
    """Whether it is put on a node by name, and sees its processes or was made by `kubectl debug node/...`."""
    spec, metadata = read_mapping(pod.get("spec")), read_mapping(pod.get("metadata"))
    made_by = read_mapping(metadata.get("labels")).get("app.kubernetes.io/managed-by")
    return bool(read_text(spec.get("nodeName"))) and (spec.get("hostPID") is True or made_by == "kubectl-debug")


def _debug_requests(containers: Iterable[Mapping[str, Any]]) -> tuple[SessionRequest, ...]:
    return tuple(
        SessionRequest(
            SessionKind.DEBUG,
            read_text(each.get("name")),
            (*_words(each.get("command")), *_words(each.get("args"))),
            each.get("stdin") is True,
            each.get("tty") is True,
        )
        for each in containers
    )


def _containers(pod: Mapping[str, Any], which: str) -> list[Mapping[str, Any]]:
    found = read_mapping(pod.get("spec")).get(which)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _words(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _ports(value: Any) -> tuple[int, ...]:
    return tuple(each for each in value if type(each) is int) if isinstance(value, list) else ()
