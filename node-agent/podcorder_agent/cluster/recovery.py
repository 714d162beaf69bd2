"""What an earlier exporter asked of the recorder, read out of the journal: a restart changes nothing that holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from podcorder_agent.cluster.announcements import ANNOUNCEMENT, ANNOUNCING
from podcorder_agent.journal.frames import Frame, FrameKind


@dataclass(slots=True)
class Recovery:
    """Fed with the journal's frames, in any order: carried ones come late."""

    slots: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Settings by slot, as `configure` requests left them."""
    decided: set[int] = field(default_factory=set)
    """Cgroups that were selected or excluded."""
    announced: dict[str, int] = field(default_factory=dict)
    """By the uids of the RecordedSessions that the journal was told of: when, boot time, ns."""
    announcing: dict[str, Any] | None = None
    """The data of the latest fact `announcing`."""
    _begun: int = 0
    """Boot time of the recorder's start with new programs, ns: what was asked before is void."""
    _times: dict[int, int] = field(default_factory=dict)
    _announcing_time: int = 0

    def observe(self, frame: Frame) -> None:
        """Requests and notes count, other frames are nothing to it."""
        if frame.kind not in (FrameKind.REQUEST, FrameKind.NOTE) or frame.time < self._begun:
            return
        try:
            told = json.loads(frame.payload)
        except (ValueError, RecursionError):
            return
        if not isinstance(told, dict):
            return
        if told.get("note") == "started":
            self._begun = frame.time
            self.slots = {slot: each for slot, each in self.slots.items() if self._times[slot] >= frame.time}
            self.announced = {uid: time for uid, time in self.announced.items() if time >= frame.time}
            if self._announcing_time < frame.time:
                self.announcing = None
        elif isinstance(request := told.get("request"), dict):
            self._take(request, frame.time)

    def _take(self, request: dict[str, Any], time: int) -> None:
        slot, settings = request.get("slot"), request.get("settings")
        if request.get("kind") == "configure" and isinstance(slot, int) and time >= self._times.get(slot, 0):
            self._times[slot] = time
            self.slots.pop(slot, None)
            if isinstance(settings, dict):
                self.slots[slot] = settings
        elif request.get("kind") in ("select", "exclude") and isinstance(request.get("cgroup_id"), int):
            self.decided.add(request["cgroup_id"])
        elif request.get("kind") == "fact" and isinstance(data := request.get("data"), dict):
            self._take_fact(request.get("subject"), data, time)

    def _take_fact(self, subject: Any, data: dict[str, Any], time: int) -> None:
        if subject == ANNOUNCING and time >= self._announcing_time:
            self._announcing_time, self.announcing = time, data
        elif subject == ANNOUNCEMENT and isinstance(uid := data.get("uid"), str):
            self.announced[uid] = time
