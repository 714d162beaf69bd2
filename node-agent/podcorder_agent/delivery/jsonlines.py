"""OTLP logs as JSON, one ExportLogsServiceRequest a line: the form that the collector's own file readers take.

The OTLP/JSON mapping: ids in lower-case hexadecimal, 64-bit integers as strings, bytes in base64.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from json import dumps
from typing import Any

START = b'{"resourceLogs":['
"""What every line begins with."""

_INT64 = range(-(1 << 63), 1 << 63)


def scalar(value: object) -> dict[str, object]:
    """An AnyValue: the same choices as `protobuf.scalar`."""
    match value:
        case bytes():
            try:
                return {"stringValue": value.decode()}
            except UnicodeDecodeError:
                return {"bytesValue": b64encode(value).decode()}
        case str():
            return {"stringValue": value.encode(errors="backslashreplace").decode()}
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue" if value in _INT64 else "stringValue": str(value)}
        case list() | tuple():
            return {"arrayValue": {"values": [scalar(each) for each in value]}}
    raise TypeError(f"{type(value).__name__} is no attribute value")


def _dump(value: object) -> bytes:
    return dumps(value, separators=(",", ":")).encode()


def _pair(name: str, value: object) -> dict[str, object]:
    return {"key": name, "value": scalar(value)}


class JsonLines:
    """The codec of `records.Encoder` for files."""

    def head(self, name: str, severity: int, text: str) -> bytes:
        """The fields that all records of a kind share, up to the moment."""
        return b'{"eventName":%b,"severityNumber":%d,"severityText":%b,' % (_dump(name), severity, _dump(text))

    def moment(self, time: int) -> bytes:
        """timeUnixNano. Raises ValueError for a negative time."""
        if time < 0:
            raise ValueError("a time before 1970")
        return b'"timeUnixNano":"%d",' % time

    def observed(self, time: int) -> bytes:
        """observedTimeUnixNano."""
        return b'"observedTimeUnixNano":"%d",' % time

    def body(self, text: str) -> bytes:
        """The line for people."""
        return b'"body":%b,"attributes":[' % _dump(scalar(text))

    def identity(self, name: str) -> Callable[[str], bytes]:
        """Makes the first attribute, a string."""
        return lambda value: _dump(_pair(name, value))

    def attribute(self, name: str) -> Callable[[Any], bytes]:
        """Makes one more attribute."""
        return lambda value: b"," + _dump(_pair(name, value))

    def ending(self, trace_id: bytes, span_id: bytes) -> bytes:
        """What a record ends with; an empty id is left out."""
        trace = b',"traceId":"%b"' % trace_id.hex().encode() if trace_id else b""
        span = b',"spanId":"%b"' % span_id.hex().encode() if span_id else b""
        return b"]" + trace + span + b"}"

    def preamble(self, resource: Mapping[str, object], scope: str, version: str) -> bytes:
        """Resource and scope, made once for `wrap`."""
        attributes = _dump({"attributes": [_pair(name, value) for name, value in resource.items()]})
        scope_json = _dump({"name": scope, "version": version})
        return START + b'{"resource":%b,"scopeLogs":[{"scope":%b,"logRecords":[' % (attributes, scope_json)

    def wrap(self, preamble: bytes, records: Sequence[bytes]) -> bytes:
        """One line, its end included."""
        return preamble + b",".join(records) + b"]}]}]}\n"
