"""Where rows come from: a journal, read by the interpreter, or a file of OTLP JSON lines."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podcorder_agent.cli.errors import OtlpUnreadable, RecordingMissing
from podcorder_agent.cli.rows import Row, Value, exported, from_event
from podcorder_agent.interpreter import Interpreter
from podcorder_agent.journal import JournalMissing, Position, Reader

RECORDINGS = Path("/var/lib/podcorder")
"""Where `podcorder record` keeps its journals, unless told otherwise; named by time."""

FOLLOW_SECONDS = 0.2


def newest_recording(directory: Path = RECORDINGS) -> Path:
    """The journal that was begun last. Raises RecordingMissing."""
    try:
        found = sorted(each for each in directory.iterdir() if each.is_dir())
    except FileNotFoundError:
        found = []
    except OSError as error:
        raise RecordingMissing(
            f"cannot look into {directory}: {error.strerror}: run as root or give --journal"
        ) from None
    if not found:
        raise RecordingMissing(f"nothing was recorded yet in {directory}: run podcorder record, or give --journal")
    return found[-1]


class Journal:
    """The rows of a journal, from a position on."""

    def __init__(self, directory: Path, start: Position | None = None) -> None:
        """Raises a JournalError where there is none."""
        self._directory, self._start = directory, start
        self._reader = Reader(directory, start)
        # A reader may come before the recorder's first segment; a person more likely named another directory.
        if not (directory / "lock").exists() and not any(directory.glob("*.segment")):
            raise JournalMissing(f"{directory} holds no journal: name the directory that a recorder writes to")
        self._interpreter = Interpreter()

    def reopened(self) -> Journal:
        """The same from where it began."""
        return Journal(self._directory, self._start)

    def rows(self) -> Iterator[Row]:
        """All there are now, to the last."""
        yield from self._read()
        yield from map(from_event, self._interpreter.finish())

    def _read(self) -> Iterator[Row]:
        for frame in self._reader.read():
            yield from map(from_event, self._interpreter.interpret(frame))

    def follow(self) -> Iterator[Row]:
        """All there are, and then each as it comes, for ever."""
        while True:
            yield from self._read()
            time.sleep(FOLLOW_SECONDS)

    @property
    def damage(self) -> str:
        """What could not be read, as a sentence; empty where all was well."""
        parts = []
        if self._reader.rejected:
            parts.append(f"{self._reader.rejected} damaged frames passed over")
        if self._reader.missed_segments:
            parts.append(f"{self._reader.missed_segments} segments gone before they were read")
        if self._interpreter.undecodable:
            parts.append(f"{self._interpreter.undecodable} records undecodable")
        return ", ".join(parts)

    @property
    def withheld(self) -> int:
        """How many records are not among the rows, for no policy asks for them."""
        return sum(self._interpreter.withheld)


class OtlpFile:
    """The rows of a file of OTLP JSON lines, ours or a collector's; records delivered twice come once."""

    withheld = 0
    """What no policy asks for was never exported, and is not known here."""

    def __init__(self, path: Path) -> None:
        """Raises OtlpUnreadable."""
        self._path = path
        self._seen: set[str] = set()
        self._torn = 0
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise OtlpUnreadable(f"cannot read {path}: {error.strerror}: name a file of OTLP JSON lines") from None

    def reopened(self) -> OtlpFile:
        """The same from where it began. Raises OtlpUnreadable."""
        return OtlpFile(self._path)

    def rows(self) -> Iterator[Row]:
        """All there are now; call it again for those that came since. Raises OtlpUnreadable at any other line."""
        while True:
            place = self._file.tell()
            line = self._file.readline()
            if not line.endswith(b"\n"):
                self._file.seek(place)  # the last line is being written, or was torn
                self._torn = len(line)
                return
            if line.strip():
                yield from self._unseen(line)

    def follow(self) -> Iterator[Row]:
        """All there are, and then each as it comes, for ever."""
        while True:
            yield from self.rows()
            time.sleep(FOLLOW_SECONDS)

    @property
    def damage(self) -> str:
        """What could not be read, as a sentence; empty where all was well."""
        return f"{self._torn} bytes of an unfinished line at the end" if self._torn else ""

    def _unseen(self, line: bytes) -> Iterator[Row]:
        try:
            found = list(parse_line(line))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise OtlpUnreadable(
                f"{self._path} holds a line that is not an OTLP logs request: name another file"
            ) from None
        for row in found:
            identity = row.text("podcorder.record.id")
            if identity is not None:
                if identity in self._seen:
                    continue
                self._seen.add(identity)
            yield row


def parse_line(line: bytes) -> Iterator[Row]:
    """The rows of one ExportLogsServiceRequest in the OTLP/JSON mapping; records of others are left out.

    A collector may write traces and metrics into the same file: such lines have no rows.
    Raises ValueError, KeyError, TypeError or AttributeError for what is none.
    """
    request = json.loads(line)
    if "resourceSpans" in request or "resourceMetrics" in request:
        return
    for resource in request["resourceLogs"]:
        for scope in resource.get("scopeLogs", ()):
            for record in scope.get("logRecords", ()):
                name = record.get("eventName", "")
                if name.startswith("podcorder."):
                    body = str(exported(record.get("body", {}).get("stringValue", "")))
                    found = {each["key"]: parse_value(each["value"]) for each in record.get("attributes", ())}
                    yield Row(str(exported(name)), int(record.get("timeUnixNano", 0)), body, found)


def parse_value(value: dict[str, Any]) -> Value:
    """A plain value from an AnyValue."""
    ((kind, content),) = value.items()
    match kind:
        case "stringValue":
            return exported(str(content))
        case "intValue":
            return int(content)
        case "boolValue":
            return bool(content)
        case "bytesValue":
            return base64.b64decode(content)
        case "arrayValue":
            return [parse_value(each) for each in content.get("values", ())]
    raise ValueError(f"{kind} is not among the values that Podcorder exports")
