"""From an event to the bytes of one log record, by templates: what repeats is encoded once and then looked up.

Each attribute has a table from value to encoded bytes, and an event's attributes are fetched and looked up by two C
loops (`attrgetter`, `map(getitem, ...)`): that is what makes six-digit rates possible. `events.attributes` is the plain
statement of the same content, and the tests hold this module to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter, getitem
from typing import Any, Protocol, TypeVar

from podcorder_agent.delivery import renderings
from podcorder_agent.delivery.opens import make_open_encoder
from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import Event
from podcorder_agent.interpreter.subjects import Container, Pod, Process, Session

INFO, WARN, ERROR = (9, "INFO"), (13, "WARN"), (17, "ERROR")
"""Severity numbers and texts of the OpenTelemetry log data model."""

_SEVERITY: dict[type[Event], tuple[int, str]] = {
    events.ProcessExecFailed: WARN,
    events.FileOpenFailed: WARN,
    events.Finding: WARN,
    events.NodeProxy: WARN,
    events.RecordingGap: ERROR,
}
_IDENTITY = "podcorder.record.id"
_LAST_MOMENT = (1 << 64) - 1

Preamble = TypeVar("Preamble")


class Codec(Protocol[Preamble]):
    """A form of OTLP: `protobuf.Protobuf` or `jsonlines.JsonLines`. A record is head, moment, observed, body, identity,
    attributes and ending, joined in this order."""

    def head(self, name: str, severity: int, text: str) -> bytes: ...
    def moment(self, time: int) -> bytes: ...
    def observed(self, time: int) -> bytes: ...
    def body(self, text: str) -> bytes: ...
    def identity(self, name: str) -> Callable[[str], bytes]: ...
    def attribute(self, name: str) -> Callable[[Any], bytes]: ...
    def ending(self, trace_id: bytes, span_id: bytes) -> bytes: ...
    def preamble(self, resource: Mapping[str, object], scope: str, version: str) -> Preamble: ...
    def wrap(self, preamble: Preamble, records: Sequence[bytes]) -> bytes: ...


class Table(dict[Any, bytes]):
    """What a value looks like encoded, remembered for values met before; None is nothing at all."""

    LIMIT = 4096
    """Entries kept. A table that is full begins anew, so that hostile variety costs time and never memory."""
    LONGEST = 512
    """Longer encodings (bytes) are made each time."""

    def __init__(self, make: Callable[[Any], bytes]) -> None:
        super().__init__({None: b""})
        self.make = make

    def __missing__(self, value: Any) -> bytes:
        made = self.make(value)
        if len(made) <= self.LONGEST:
            if len(self) >= self.LIMIT:
                self.clear()
                self[None] = b""
            self[value] = made
        return made


class Lists:
    """A table for lists, which are no keys themselves; `keep` is False where lists hardly ever repeat."""

    def __init__(self, make: Callable[[Any], bytes], keep: bool) -> None:
        self.make = make
        self.table = Table(make) if keep else None

    def __getitem__(self, value: Any) -> bytes:
        if value is None:
            return b""
        return self.make(value) if self.table is None else self.table[tuple(value)]


@dataclass(slots=True, frozen=True)
class Template:
    """How one class of events is encoded."""

    head: bytes
    failed: bytes | None
    """The head of those that carry an error, where some do."""
    attributes: Callable[[Event], Iterator[bytes]]


class Encoder:
    """Encodes events with one codec. A process keeps the bytes it contributes in `Process.encoded`, so that events
    are encoded by one encoder only."""

    def __init__(self, codec: Codec[Any]) -> None:
        self.codec = codec
        self._moment = codec.moment
        self._identity = codec.identity(_IDENTITY)
        self._tables: dict[str, Table | Lists] = {}
        self._of_process = self._attributes(Process)
        self._of_session = self._attributes(Session)
        self._attributes_of_container = self._attributes(Container)
        self._of_pod = self._attributes(Pod)
        self._templates = {each: self._template(each) for each in events.EVENTS}
        self._encode_open = make_open_encoder(
            self._templates[events.FileOpen].head,
            codec.moment,
            codec.body,
            self._identity,
            {
                each.name: self._tables[each.metadata["attribute"]].__getitem__
                for each in fields(events.FileOpen)
                if each.metadata.get("attribute") in self._tables
            },
            self.encode,
        )

    def observed(self, time: int) -> bytes:
        """The piece that says when the recorder saw the events of a frame; `time` is Unix time, ns."""
        return self.codec.observed(min(max(time, 0), _LAST_MOMENT))

    def encode_all(self, found: Sequence[Event], observed: bytes) -> list[bytes]:
        """The bytes of each event's record."""
        encode, encode_open = self.encode, self._encode_open
        return [
            encode_open(each, observed) if isinstance(each, events.FileOpen) else encode(each, observed)
            for each in found
        ]

    def encode(self, event: Event, observed: bytes) -> bytes:
        """The bytes of one record, the general way."""
        template = self._templates[event.__class__]
        process = event.process
        if process is None:
            context = self._orphan(event)
        else:
            context = process.encoded
            if context is None:
                context = process.encoded = self._context(process)
        head = template.head
        if template.failed is not None and event.error is not None:  # type: ignore[attr-defined]
            head = template.failed
        time = event.time
        if not 0 <= time <= _LAST_MOMENT:
            time = min(max(time, 0), _LAST_MOMENT)
        body = self.codec.body(renderings.render(event))
        identity = self._identity(event.id)
        return b"".join((head, self._moment(time), observed, body, identity, *template.attributes(event), context))

    def _template(self, kind: type[Event]) -> Template:
        severity = _SEVERITY.get(kind, INFO)
        may_fail = severity is INFO and any(each.name == "error" for each in fields(kind))
        return Template(
            head=self.codec.head(kind.NAME, *severity),
            failed=self.codec.head(kind.NAME, *WARN) if may_fail else None,
            attributes=self._attributes(kind),
        )

    def _attributes(self, kind: type[object]) -> Callable[[Any], Iterator[bytes]]:
        """Encodes the exported fields of a dataclass, of which there must be two at least."""
        exported = [
            each
            for each in fields(kind)  # type: ignore[arg-type]
            if each.metadata.get("attribute") not in (None, _IDENTITY)
        ]
        values = attrgetter(*(each.name for each in exported))
        tables = tuple(self._table(each.metadata["attribute"], str(each.type)) for each in exported)
        return lambda holder: map(getitem, tables, values(holder))

    def _table(self, name: str, annotation: str) -> Table | Lists:
        """Classes that share an attribute share its table."""
        if name not in self._tables:
            make = self.codec.attribute(name)
            lists = annotation.startswith("list")
            self._tables[name] = Lists(make, keep="bytes" not in annotation) if lists else Table(make)
        return self._tables[name]

    def _context(self, process: Process) -> bytes:
        session = process.session
        return b"".join(
            (
                *self._of_process(process),
                *self._of_session(session),
                *self._of_container(session.container),
                self.codec.ending(_read_id(session.id), _read_id(process.span_id)),
            )
        )

    def _of_container(self, container: Container) -> Iterator[bytes]:
        yield from self._attributes_of_container(container)
        if container.pod is not None:
            yield from self._of_pod(container.pod)

    def _orphan(self, event: Event) -> bytes:
        ending = self.codec.ending(b"", b"")
        if not isinstance(event, events.ContainerEvent) or event.container is None:
            return ending
        return b"".join((*self._of_container(event.container), ending))


def _read_id(text: str) -> bytes:
    """An id's bytes; one that is not hexadecimal is none."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
