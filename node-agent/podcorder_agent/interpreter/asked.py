"""Requests that begin no process of their own: to attach, to forward a port, to reach a kubelet."""

from __future__ import annotations

from collections.abc import Iterable

from podcorder_agent.interpreter.announcements import Announcement
from podcorder_agent.interpreter.events import Event, NodeProxy, RequestEvent, SessionAttach, SessionPortForward
from podcorder_agent.interpreter.subjects import Container, Pod

_EVENTS: dict[str, type[RequestEvent]] = {
    "Attach": SessionAttach,
    "PortForward": SessionPortForward,
    "NodeProxy": NodeProxy,
}


def tell_request(request: Announcement, time: int, containers: Iterable[Container]) -> list[Event]:
    """The event of a request at this Unix time, ns; whoever attaches is noted at the container. Nothing of a kind that
    is not known."""
    made = _EVENTS.get(request.kind)
    if made is None:
        return []
    place = next((each for each in containers if _is_of(each, request)), None)
    if place is None and request.pod_uid:
        pod = Pod(request.record[0], request.pod_name or None, request.pod_uid, request.container or None)
        place = Container(0, "", pod=pod)
    event = made(f"{request.uid}.asked", time, container=place)
    event.user_name, event.user_id = request.user.name, request.user.uid
    event.user_groups = list(request.user.groups) or None
    event.record, event.request_id = "/".join(request.record), request.request_id or None
    if isinstance(event, SessionPortForward):
        event.ports = [str(each) for each in request.ports] or None
    if isinstance(event, NodeProxy):
        event.path = request.path or None
    if isinstance(event, SessionAttach) and place is not None:
        place.attach_users = sorted({*(place.attach_users or ()), request.user.name})
    return [event]


def _is_of(container: Container, request: Announcement) -> bool:
    pod = container.pod
    if pod is None or not request.pod_uid or pod.uid != request.pod_uid:
        return False
    return not request.container or pod.container == request.container
