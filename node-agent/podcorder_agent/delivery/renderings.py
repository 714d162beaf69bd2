"""One line for people about each event: the body of its log record, and what the command line prints.

A line is unambiguous: what came from a process is quoted as a shell would read it, and anything that does not print
(control characters, bidirectional overrides, bytes that are no UTF-8) is escaped inside $'...', so that no value can
pose as another, end the line or move the cursor. Words outside quotes are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import Event
from podcorder_agent.interpreter.subjects import Identity, Session

LONGEST = 2048
"""Characters of arguments in a line; the attributes hold them all."""

_PLAIN = re.compile(rb"[A-Za-z0-9_@%+=:,./-]+").fullmatch
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}


def quote(value: bytes) -> str:
    """A word as bash reads it back to exactly these bytes."""
    if _PLAIN(value):
        return value.decode("ascii")
    text = value.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return "'" + text.replace("'", "'\\''") + "'"
    return "$'" + "".join(each if each.isprintable() and each not in "\\'" else _escape(each) for each in text) + "'"


def _escape(character: str) -> str:
    point = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if 0xDC80 <= point <= 0xDCFF:  # a byte that surrogateescape kept
        return f"\\x{point - 0xDC00:02x}"
    if point < 0x80:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def quote_all(values: Sequence[bytes]) -> str:
    """Words one after another; a line too long ends in the bare sign …, which no quoted word can be."""
    words: list[str] = []
    room = LONGEST
    for index, value in enumerate(values):
        word = quote(value[: room + 1])
        if len(value) > room or len(word) > room:
            words.append(f"… ({len(values) - index} more)")
            break
        words.append(word)
        room -= len(word) + 1
    return " ".join(words)


def show_duration(ns: int) -> str:
    """A duration in the unit that suits it."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns // size} {unit}"
    return f"{ns} ns"


def show_endpoint(address: str | None, port: int | None) -> str:
    """Address and port as in a URL."""
    if address is not None and ":" in address:
        address = f"[{address}]"
    return f"{address or '?'}:{'?' if port is None else port}"


def render(event: Event) -> str:
    """The line of an event: printable and without line breaks."""
    return _RENDERINGS[type(event)](event)


def render_open(access: str | None, path: bytes | None) -> str:
    """The line of a FileOpen."""
    return f"open {access or '?'} {_word(path)}"


def show_identity(identity: str, user: str | None, candidates: Sequence[bytes]) -> str:
    """Whose a session is: the user, or a word of ours in brackets, which no quoted word can be, and the candidates."""
    if identity == Identity.IDENTIFIED:
        return _own(user)
    return " ".join(filter(None, (f"({identity})", quote_all(candidates))))


def _word(value: bytes | None) -> str:
    return "?" if value is None else quote(value)


def _own(text: str | None) -> str:
    """Text that may have come from outside, such as a container's name: quoted as well."""
    return "?" if text is None else quote(text.encode("utf-8", "surrogatepass"))


def _exec(event: events.ProcessExec) -> str:
    executable = None if event.process is None else event.process.executable
    origin = f" ({event.origin})" if event.origin else ""
    return f"exec {_word(executable)}{origin}: {quote_all(event.arguments or ())}"


def _exec_failed(event: events.ProcessExecFailed) -> str:
    return f"exec failed {event.error or '?'} {_word(event.filename)}: {quote_all(event.arguments or ())}"


def _end(event: events.ProcessExit | events.SessionEnd) -> str:
    how = f"by {event.signal}" if event.signal else "?" if event.code is None else str(event.code)
    return how if event.duration is None else f"{how} after {show_duration(event.duration)}"


def _connect(event: events.NetworkConnect) -> str:
    peer = show_endpoint(event.peer_address, event.peer_port)
    outcome = " ".join(filter(None, (event.outcome or "?", event.error)))
    latency = "" if event.latency is None else f" in {show_duration(event.latency)}"
    return f"connect {event.transport or '?'} {peer} {outcome}{latency}"


def _accept(event: events.NetworkAccept) -> str:
    peer = show_endpoint(event.peer_address, event.peer_port)
    local = show_endpoint(event.local_address, event.local_port)
    return f"accept {event.transport or '?'} {peer} on {local}"


def _datagram(event: events.NetworkDatagram) -> str:
    failed = f" failed {event.error}" if event.error else ""
    return f"datagram {event.transport or '?'} {show_endpoint(event.peer_address, event.peer_port)}{failed}"


def _container(word: str) -> Callable[[events.ContainerEvent], str]:
    def rendering(event: events.ContainerEvent) -> str:
        found = event.container
        return f"container {word} {'?' if found is None else _own(found.title)}"

    return rendering


def _session(event: Event) -> str:
    if event.process is None:
        return "?"
    return f"{event.process.session.kind} {event.process.session.id or '?'}"


def _begun_session(event: Event) -> str:
    whose = "" if event.process is None else _whose(event.process.session)
    return f"{_session(event)} {whose}".rstrip()


def _whose(session: Session) -> str:
    if session.identity is None:
        return ""
    candidates = [each.encode("utf-8", "surrogatepass") for each in session.candidates or ()]
    shown = show_identity(session.identity, session.user_name, candidates)
    return f"by {shown}" if session.identity is Identity.IDENTIFIED else shown


def _identified(event: events.SessionIdentified) -> str:
    return f"session identified {_begun_session(event)}"


def _request(word: str) -> Callable[[events.RequestEvent], str]:
    def rendering(event: events.RequestEvent) -> str:
        place = "" if event.container is None else f" {_own(event.container.title)}"
        return f"{word}{place} by {_own(event.user_name)}"

    return rendering


def _gap(event: events.RecordingGap) -> str:
    count = "an unknown number of" if event.count is None else str(event.count)
    return f"gap: {count} records lost, class {event.record_class or 'unknown'} ({event.reason or 'unknown'})"


_RENDERINGS: dict[type[Event], Callable[[Any], str]] = {
    events.ProcessExec: _exec,
    events.ProcessExecFailed: _exec_failed,
    events.ProcessFork: lambda event: f"fork {'?' if event.child_pid is None else event.child_pid}",
    events.ProcessExit: lambda event: f"exit {_end(event)}",
    events.FileOpen: lambda event: render_open(event.access, event.path),
    events.FileOpenFailed: lambda event: f"open failed {event.error or '?'} {event.access or '?'} {_word(event.path)}",
    events.NetworkConnect: _connect,
    events.NetworkAccept: _accept,
    events.NetworkListen: lambda event: (
        f"listen {event.transport or '?'} {show_endpoint(event.local_address, event.local_port)}"
    ),
    events.NetworkDatagram: _datagram,
    events.ContainerStart: _container("start"),
    events.ContainerEnd: _container("end"),
    events.SessionStart: lambda event: f"session start {_begun_session(event)}",
    events.SessionEnd: lambda event: f"session end {_session(event)} {_end(event)}",
    events.SessionIdentified: _identified,
    events.SessionAttach: _request("attach"),
    events.SessionPortForward: _request("port forward"),
    events.NodeProxy: lambda event: f"{_request('kubelet reached')(event)}: {_own(event.path)}",
    events.RecordingGap: _gap,
    events.Finding: lambda event: f"finding: {_own(event.subject)}: {_own(event.message)}",
}
