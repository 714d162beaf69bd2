"""RecordedSessions as this node's agent has to do with them: what is stored, and what a session's report makes of it.

Pure. `counts`, `gaps` and the rest of a status are whole each time: nothing is added to what was written before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from podcorder_agent.cluster.announcements import Announcement, has_ended
from podcorder_agent.cluster.objects import read_mapping, read_mappings, read_text
from podcorder_agent.cluster.streams import Key
from podcorder_agent.interpreter.session_reports import Loss, SessionReport
from podcorder_agent.interpreter.subjects import Identity, SessionKind
from podcorder_crds import ConditionStatus, Confidence, EventClass, Origin
from podcorder_crds import SessionKind as RecordedKind

Status = dict[str, Any]

MOST_CANDIDATES = 16
_MOST_EXECUTABLE = 1024
_FIELDS = (
    *("sessionID", "startTime", "endTime", "rootProcess", "exitCode", "counts", "gaps", "confidence", "candidates"),
    *("partialReasons", "login", "conditions"),
)
_EVENT_CLASSES = {each.lower(): each for each in EventClass}
_WITHOUT_PROCESSES = (RecordedKind.ATTACH, RecordedKind.PORT_FORWARD, RecordedKind.NODE_PROXY)


@dataclass(frozen=True, slots=True)
class Stored:
    """A RecordedSession as the API server has it, as far as it matters here."""

    uid: str
    generation: int = 0
    session_id: str = ""
    """Of the recording that its status tells of."""
    over: bool = False
    conditions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By type: status, and since when."""
    digest: int = 0
    """Of its status."""

    @property
    def started(self) -> bool:
        return self.conditions.get("Started", ("",))[0] == ConditionStatus.TRUE


def read_stored(raw: dict[str, Any]) -> Stored:
    """Whatever the object holds."""
    metadata, status = read_mapping(raw, "metadata"), read_mapping(raw, "status")
    generation = metadata.get("generation")
    return Stored(
        read_text(metadata, "uid"),
        generation if isinstance(generation, int) else 0,
        read_text(status, "sessionID"),
        has_ended(raw),
        {
            read_text(each, "type"): (read_text(each, "status"), read_text(each, "lastTransitionTime"))
            for each in read_mappings(status, "conditions")
        },
        digest_status(status),
    )


def digest_status(status: Mapping[str, Any]) -> int:
    """The same for statuses that say the same."""
    return hash(json.dumps({name: status.get(name) for name in _FIELDS if status.get(name)}, sort_keys=True))


def key_of(report: SessionReport, namespace: str) -> Key | None:
    """Whose status tells of a session, where that is certain; None for one that may be several, and for one that nobody
    is to be told of yet. `namespace`: of Podcorder, for logins."""
    if report.record is not None:
        return report.record
    if report.session_id is None:
        return None
    if report.kind is SessionKind.HOST:
        return namespace, f"host-{report.session_id}"
    if report.identity is Identity.UNANNOUNCED and report.pod is not None and report.pod.namespace:
        return report.pod.namespace, f"unannounced-{report.session_id}"
    return None


def make_record(key: Key, report: SessionReport, node: str, target: str) -> dict[str, Any]:
    """The record of a session that nobody asked the API server for. `target`: of a session of kind Debug."""
    spec: dict[str, Any] = {"kind": report.kind.value, "origin": Origin.HOST.value, "nodeName": node}
    if report.kind is not SessionKind.HOST and report.pod is not None:
        spec |= {"origin": Origin.UNANNOUNCED.value, "pod": {"name": report.pod.name, "uid": report.pod.uid}}
        if report.pod.container:
            spec["container"] = report.pod.container
        if report.kind is SessionKind.DEBUG:
            spec["target"] = target
    return {"metadata": {"name": key[1], "namespace": key[0]}, "spec": spec}


def make_status(report: SessionReport, stored: Stored, now: datetime) -> Status:
    """The whole status of a session's record."""
    if report.never_started and stored.started:
        return _lose_sight(stored, now)
    status: Status = {
        "sessionID": report.session_id,
        "startTime": _format(report.start),
        "endTime": _format(report.end),
        "rootProcess": _describe_root(report),
        "exitCode": report.exit_code,
        "counts": _count(report),
        "gaps": _list_gaps(report.losses),
        "confidence": _judge(report),
        "candidates": sorted({name for _, name in report.candidates})[:MOST_CANDIDATES],
        "partialReasons": ["OlderThanAgent"] if report.partial else [],
        "login": None if report.login is None else dict(zip(("uid", "auditSession"), report.login, strict=True)),
        "conditions": _make_conditions(
            {"Started": _explain_start(report), "Ended": _explain_end(report), "Complete": _explain_whole(report)},
            stored,
            now,
        ),
    }
    return status


def make_fact_status(announcement: Announcement, stored: Stored, now: datetime) -> Status | None:
    """Of what is told of, and begins no process, nothing more is seen than that it was asked for. None: it does."""
    if announcement.fact["kind"] not in _WITHOUT_PROCESSES:
        return None
    word = (
        ConditionStatus.UNKNOWN,
        "NotFollowed",
        "It begins no process of its own: only that it was asked for is recorded.",
    )
    return {"conditions": _make_conditions(dict.fromkeys(("Started", "Ended", "Complete"), word), stored, now)}


def make_end(stored: Stored, record: Key, now: datetime) -> Status:
    """Of a record that was made of a session for which somebody had asked after all."""
    word = ConditionStatus.UNKNOWN, "AnnouncedLate", f"It was announced after all: {record[1]} goes on with it."
    return {"conditions": _keep_start(stored, {"Ended": word, "Complete": word}, now)}


def _lose_sight(stored: Stored, now: datetime) -> Status:
    word = (
        ConditionStatus.UNKNOWN,
        "RecordingEnded",
        "The recording ended before the session: nobody can tell when it did.",
    )
    return {"conditions": _keep_start(stored, {"Ended": word, "Complete": word}, now)}


Word = tuple[ConditionStatus, str, str]
"""Status, reason and message of a condition."""


def _keep_start(stored: Stored, words: Mapping[str, Word], now: datetime) -> list[dict[str, Any]]:
    return _make_conditions({"Started": _STARTED, **words}, stored, now)


_STARTED: Word = (ConditionStatus.TRUE, "Observed", "The node's agent has seen it begin.")


def _explain_start(report: SessionReport) -> Word:
    if report.failure is not None:
        return ConditionStatus.FALSE, "CommandFailed", f"The command could not be executed: {report.failure}."
    if report.never_started:
        return (
            ConditionStatus.FALSE,
            "NeverStarted",
            "It was asked for, and nothing that began on the node belongs to it.",
        )
    return _STARTED


def _explain_end(report: SessionReport) -> Word:
    if report.never_started or report.failure is not None:
        return ConditionStatus.TRUE, "NeverStarted", "It did not begin."
    if report.end is None:
        return ConditionStatus.FALSE, "Running", "Processes of it run."
    return ConditionStatus.TRUE, "Exited", "Its last process has gone."


def _explain_whole(report: SessionReport) -> Word:
    if report.never_started:
        return ConditionStatus.FALSE, "NeverStarted", "There is no recording."
    if report.losses:
        names = ", ".join(sorted({each.record_class for each in report.losses}))
        return ConditionStatus.FALSE, "EventsLost", f"While it ran the node lost events: {names}."
    if report.partial:
        return ConditionStatus.FALSE, "Partial", "It is older than its recording."
    if report.end is None and report.failure is None:
        return ConditionStatus.FALSE, "Running", "It has not ended; so far nothing of it was lost."
    return ConditionStatus.TRUE, "Recorded", "It has ended, and nothing of it was lost."


def _make_conditions(words: Mapping[str, Word], stored: Stored, now: datetime) -> list[dict[str, Any]]:
    conditions = []
    for kind, (status, reason, message) in words.items():
        before = stored.conditions.get(kind, ("", ""))
        conditions.append(
            {
                "type": kind,
                "status": status.value,
                "reason": reason,
                "message": message,
                "observedGeneration": stored.generation,
                "lastTransitionTime": before[1] if before[0] == status else now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
    return conditions


def _describe_root(report: SessionReport) -> dict[str, Any] | None:
    if report.root_pid is None:
        return None
    executable = (report.executable or "").encode(errors="surrogateescape").decode(errors="replace")
    return {"pid": report.root_pid} | ({"executable": executable[:_MOST_EXECUTABLE]} if executable else {})


def _count(report: SessionReport) -> list[dict[str, Any]]:
    found = {_find_class(name): count for name, count in report.counts}
    return [{"class": each.value, "count": found[each]} for each in EventClass if found.get(each)]


def _list_gaps(losses: tuple[Loss, ...]) -> list[dict[str, Any]]:
    """One for each class."""
    gaps = []
    for event_class in EventClass:
        found = [each for each in losses if _find_class(each.record_class) is event_class]
        if found:
            counts = [each.count for each in found]
            gap: dict[str, Any] = {"class": event_class.value}
            if None not in counts:
                gap["count"] = sum(filter(None, counts))
            first, last = min(each.first for each in found), max(each.last for each in found)
            gaps.append(gap | {"firstTime": _format(first), "lastTime": _format(last)})
    return gaps


def _find_class(name: str) -> EventClass | None:
    return _EVENT_CLASSES.get(name.replace("_", ""))


def _judge(report: SessionReport) -> str | None:
    """Several of one user are as uncertain as those of several: which of their requests it was, nobody knows."""
    if report.identity is Identity.AMBIGUOUS or len(report.candidates) > 1:
        return Confidence.AMBIGUOUS.value
    certain = report.identity is Identity.IDENTIFIED and report.record is not None and not report.never_started
    return Confidence.CERTAIN.value if certain else None


def _format(moment: int | None) -> str | None:
    """RFC 3339, of Unix time in ns."""
    if moment is None:
        return None
    return datetime.fromtimestamp(moment / 1e9, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
