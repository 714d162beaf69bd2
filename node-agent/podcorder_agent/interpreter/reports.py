"""Events no record stands behind: gaps, findings and the ends of containers. Their ids are made from their cause, so
that the same journal gives the same ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from podcorder_agent.classes import CLASS_NAMES
from podcorder_agent.interpreter.events import ContainerEnd, ContainerEvent, ContainerStart, Finding, RecordingGap
from podcorder_agent.interpreter.pending import Held
from podcorder_agent.interpreter.selections import Selection
from podcorder_agent.interpreter.subjects import Container
from podcorder_agent.journal.frames import Frame

_WELL = frozenset({"Active", "Off"})
"""States of a capability that are as they should be; the others are Degraded and Failed."""
_MOST_CAPABILITIES = 64


def name_place(frame: Frame) -> str:
    """Names a frame by where it stands."""
    return f"{frame.segment.generation:016x}.{frame.position}"


def name_moment(frame: Frame) -> str:
    """Names a request or a note by when it was written: a copy that is carried forward keeps its time."""
    return f"{frame.segment.generation:016x}.{frame.time}"


def when(frame: Frame) -> int:
    """Unix time of a frame, ns."""
    return frame.time + frame.segment.anchor_ns


def report_undecodable(frame: Frame, damaged: Mapping[str | None, int]) -> list[RecordingGap]:
    """A gap for each class of what could not be read in a frame; None is a class that is not known."""
    gaps = []
    for name, count in damaged.items():
        gap = RecordingGap(f"gap.undecodable.{name_place(frame)}.{name}", when(frame))
        gap.record_class, gap.reason, gap.count, gap.last = name, "undecodable", count, gap.time
        gaps.append(gap)
    return gaps


def report_state(frame: Frame) -> RecordingGap:
    """The state of the checkpoint could not be read: what it knew is lost."""
    gap = RecordingGap(f"gap.state.{name_place(frame)}", when(frame))
    gap.reason, gap.last = "state_unreadable", gap.time
    return gap


def report_damage(frame: Frame) -> RecordingGap:
    """Damage in the journal was passed over before this frame; what it took nobody can count."""
    gap = RecordingGap(f"gap.damaged.{name_place(frame)}", when(frame))
    gap.reason, gap.last = "journal_damaged", gap.time
    return gap


def report_given_up(held: Held, frame: Frame) -> list[RecordingGap]:
    """Held records nobody asked for in time are lost, and counted."""
    gaps = []
    for name, count in Counter(CLASS_NAMES[each.data[9]] for each in held.records).items():
        gap = RecordingGap(f"gap.pending.{held.records[0].identity}.{name}", when(frame))
        gap.record_class, gap.reason, gap.count = name, "pending", count
        gap.first, gap.last = held.started + held.records[0].anchor, gap.time
        gaps.append(gap)
    return gaps


def report_finding(frame: Frame, cause: str, subject: str, message: str) -> Finding:
    """What a request or a note shows."""
    finding = Finding(f"finding.{name_moment(frame)}.{cause}", when(frame))
    finding.subject, finding.message = subject, message
    return finding


def report_capabilities(frame: Frame, told: object, known: dict[str, str]) -> list[Finding]:
    """A finding for each capability that is not as it should be, when that changes; `known`: how they stood."""
    findings = []
    for name, each in told.items() if isinstance(told, dict) else ():
        if not isinstance(each, dict):
            continue
        standing = f"{each.get('state')}: {each.get('reason') or 'no reason is known'}"[:1024]
        if known.get(name) == standing or len(known) >= _MOST_CAPABILITIES:
            continue
        known[name] = standing
        if each.get("state") not in _WELL:
            findings.append(
                report_finding(frame, f"capability.{name}", name, f"The capability is {standing.removesuffix('.')}.")
            )
    return findings


def start_container(frame: Frame, container: Container, held: Held) -> ContainerStart:
    """Recording began with the first record that was held, or else now."""
    time = held.started + frame.segment.anchor_ns if held.records else when(frame)
    return ContainerStart(f"{name_moment(frame)}.{container.cgroup_id}.start", time, container=container)


def end_container(frame: Frame, container: Container) -> ContainerEnd:
    """Recording ends by a request or a note."""
    return ContainerEnd(f"{name_moment(frame)}.{container.cgroup_id}.end", when(frame), container=container)


def turn_container(frame: Frame, before: Container, selection: Selection) -> list[ContainerEvent]:
    """What the policies asked for ends, and what they ask for now begins; `before`: the container as it was."""
    if not selection.is_container:
        return []
    container = selection.container
    begun = ContainerStart(f"{name_moment(frame)}.{container.cgroup_id}.start", when(frame), container=container)
    return [end_container(frame, before), begun]
