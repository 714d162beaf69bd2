"""One row an event, whether it was read from a journal or from OTLP: its name, its time and its attributes."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

from podcorder_agent.delivery.renderings import quote, render
from podcorder_agent.interpreter.events import Event, attributes

Value = str | int | bool | bytes | list[Any]
"""An attribute as exported: text where it is UTF-8, else bytes."""


@dataclass(slots=True)
class Row:
    """An event as exported."""

    name: str
    time: int
    """Unix time, ns."""
    body: str = ""
    """One line for people."""
    attributes: dict[str, Value] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The name without our prefix, such as `file.open`."""
        return self.name.removeprefix("podcorder.")

    def text(self, name: str) -> str | None:
        """An attribute as text; bytes that are not UTF-8 survive as surrogates."""
        value = self.attributes.get(name)
        if isinstance(value, bytes):
            return value.decode("utf-8", "surrogateescape")
        return None if value is None else str(value)

    def word(self, name: str) -> str | None:
        """An attribute that is a word of ours, fit to be printed: an OTLP file may hold anything there."""
        text = self.text(name)
        return None if text is None else quoted(text)

    def number(self, name: str) -> int | None:
        value = self.attributes.get(name)
        return value if isinstance(value, int) else None

    def words(self, name: str) -> list[bytes]:
        """A list attribute such as the arguments, as bytes."""
        value = self.attributes.get(name)
        if not isinstance(value, list):
            return []
        return [each if isinstance(each, bytes) else str(each).encode("utf-8", "surrogateescape") for each in value]


def quoted(text: str) -> str:
    """A text as a shell would read it back; what does not print is escaped."""
    return quote(text.encode("utf-8", "surrogateescape"))


def from_event(event: Event) -> Row:
    """The row of an interpreted event."""
    return Row(
        event.NAME, event.time, render(event), {name: exported(value) for name, value in attributes(event).items()}
    )


def exported(value: Any) -> Value:
    """A value as OTLP carries it: bytes become text where they are UTF-8."""
    match value:
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return value
        case list():
            return [exported(each) for each in value]
        case bool() | int():
            return value
        case _:
            return str(value).encode(errors="backslashreplace").decode()


def to_json(row: Row) -> str:
    """One JSON object in one line: event_name, time, and the attributes by their names."""
    return dump({"event_name": row.name, "time": show_time(row.time), **row.attributes})


def dump(values: dict[str, Any]) -> str:
    """One JSON object in one line, bytes as `{"bytes": base64}`."""
    return json.dumps(values, default=_bytes, ensure_ascii=False)


def _bytes(value: object) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} is no attribute value")
    return {"bytes": base64.b64encode(value).decode()}


def show_time(ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, rest = divmod(ns, 10**9)
    try:
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}.{rest:09d}"  # a time beyond the calendar, from a damaged record
