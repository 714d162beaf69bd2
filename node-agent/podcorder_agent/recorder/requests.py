"""What each request of the control socket does (docs/control.md). Checked requests come in; replies' fields go out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from podcorder_agent.control.messages import JOURNALED, Message, MessageError
from podcorder_agent.errors import PodcorderError
from podcorder_agent.journal import FrameKind, Position
from podcorder_agent.recorder.cgroups import find_cgroup, walk_cgroups
from podcorder_agent.recorder.classes import event_bits
from podcorder_agent.recorder.filters import compile_settings
from podcorder_agent.recorder.identities import Identities, Identity
from podcorder_agent.recorder.recorder import Recorder

COMMAND, DEBUG = "Command", "Debug"
"""Kinds of a cgroup's own session: no container runtime enters it; a debug container's."""


class RequestHandler:
    """Acts on requests, in the order they come; each that matters is in the journal before it is acted on."""

    def __init__(self, recorder: Recorder, cgroup_root: Path | None, identities: Identities, greeting: Message) -> None:
        """`greeting`: the fields boot_id, generation and node of the reply to `hello`."""
        self._recorder = recorder
        self._cgroup_root = cgroup_root
        self._identities = identities
        self._greeting = greeting
        self._actions: dict[str, Callable[[Message], Message]] = {
            "hello": self._hello,
            "configure": self._configure,
            "select": self._select,
            "exclude": self._exclude,
            "logins": self._logins,
            "pending": self._pending,
            "ignore": self._ignore,
            "fact": self._fact,
            "acknowledge": self._acknowledge,
            "flush": self._flush,
            "health": self._health,
            "unload": self._unload,
            "stop": self._stop,
        }

    def handle(self, number: int, uid: int, kind: str, request: Message) -> Message:
        """Raises MessageError where the request cannot be done; its sender is told why."""
        try:
            if kind == "configure":
                compile_settings(0, request.get("settings"))  # refused before it is written down
            if kind in ("select", "exclude") and self._cgroup_root is None:
                raise MessageError(
                    "the whole cgroup2 tree is mounted nowhere here: mount it and start the recorder again"
                )
            if self._recorder.unloaded and _would_record(kind, request):
                self._recorder.finish(unpin=False)
                raise MessageError("the recorder was unloaded and ends now: ask the next one, which loads all anew")
            if kind == "ignore":  # the journal has the number that its records have
                request = {**request, **self._identities.find(request["tgid"])._asdict()}
            if kind in JOURNALED:
                self._recorder.catch_up()  # what was recorded as asked before stands before the request
                self._recorder.append_json(FrameKind.REQUEST, {"number": number, "peer_uid": uid, "request": request})
            return self._actions[kind](request)
        except (PodcorderError, ValueError) as error:
            raise MessageError(str(error)) from None
        except ProcessLookupError as error:
            raise MessageError(str(error)) from None
        except OSError as error:
            raise MessageError(f"the kernel refused: {error.strerror or error}") from None

    def _hello(self, request: Message) -> Message:
        return {**self._greeting, "position": str(self._recorder.journal.position)}

    def _configure(self, request: Message) -> Message:
        self._recorder.maps.set_slot(request["slot"], request.get("settings"))
        return self._apply_needs()

    def _pending(self, request: Message) -> Message:
        events = event_bits(request.get("events", []))
        self._recorder.maps.set_pending(events, request.get("seconds", 0), request.get("bytes", 0))
        return self._apply_needs()

    def _apply_needs(self) -> Message:
        self._recorder.apply_needs()
        return {"capabilities": self._recorder.attachments.states}

    def _select(self, request: Message) -> Message:
        top = request["cgroup_id"]
        hint = request["container"]["path"]
        slot, kind = request["slot"], request["session_kind"]
        marks = {"runtime": kind != COMMAND, "debug": kind == DEBUG}
        return self._for_subtree(top, hint, lambda each: self._recorder.maps.select(each, top, slot, **marks))

    def _exclude(self, request: Message) -> Message:
        top, outside = request["cgroup_id"], request.get("outside", False)
        return self._for_subtree(top, "", lambda each: self._recorder.maps.exclude(each, top, outside=outside))

    def _logins(self, request: Message) -> Message:
        self._recorder.maps.record_logins(request.get("slot"))
        return {}

    def _for_subtree(self, cgroup_id: int, hint: str, act: Callable[[int], None]) -> Message:
        """A cgroup that is gone already is no error: the request's frame decides about what was held for it."""
        root = self._cgroup_root
        top = find_cgroup(root, cgroup_id, hint) if root else None
        count = 0
        for path, number in walk_cgroups(top) if top else ():
            act(number)
            if path.exists():
                count += 1
            else:
                self._recorder.maps.forget(number)
        return {"cgroups": count}

    def _ignore(self, request: Message) -> Message:
        self._recorder.maps.ignore(Identity(request["tgid"], request["start"]))
        return {}

    def _fact(self, request: Message) -> Message:
        return {}  # being in the journal is all it asks for

    def _acknowledge(self, request: Message) -> Message:
        checkpoint: dict[str, Any] | None = request.get("checkpoint")
        self._recorder.journal.acknowledge(Position.parse(request["position"]), checkpoint)
        return {}

    def _flush(self, request: Message) -> Message:
        return {"position": str(self._recorder.flush())}

    def _health(self, request: Message) -> Message:
        return self._recorder.health()

    def _unload(self, request: Message) -> Message:
        self._recorder.unload()
        return {}

    def _stop(self, request: Message) -> Message:
        self._recorder.finish(request.get("unpin", False))
        return {}


def _would_record(kind: str, request: Message) -> bool:
    """Whether a request needs programs."""
    given = request.get("settings") is not None or (kind == "logins" and request.get("slot") is not None)
    return kind == "select" or given or bool(request.get("events"))
