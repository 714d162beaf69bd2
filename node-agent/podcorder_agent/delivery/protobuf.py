"""OTLP logs as protobuf, written by hand: the few wire rules that an ExportLogsServiceRequest needs, and their reading.

Field numbers are those of opentelemetry-proto (logs/v1, common/v1, resource/v1, collector/logs/v1). Inside a message
the order of fields is free, which lets every piece below be a whole run of fields that is simply joined to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from struct import Struct
from typing import Any

CONTENT_TYPE = "application/x-protobuf"

_FIXED64 = Struct("<BQ").pack
_INT64 = range(-(1 << 63), 1 << 63)
_U64 = (1 << 64) - 1


def varint(value: int) -> bytes:
    """A base-128 integer; a negative one as its 64-bit two's complement."""
    if 0 <= value < 1 << 7:
        return bytes((value,))
    if 0 <= value < 1 << 14:
        return bytes((value & 0x7F | 0x80, value >> 7))
    if 0 <= value < 1 << 28:
        low = (value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80)
        return bytes((*low, value >> 14)) if value < 1 << 21 else bytes((*low, value >> 14 & 0x7F | 0x80, value >> 21))
    value &= _U64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_LENGTHS = [varint(n) for n in range(4096)]
_RECORD_PREFIXES = [b"\x12" + each for each in _LENGTHS]


def chunk(tag: int, data: bytes) -> bytes:
    """A length-delimited field; `tag` is its tag byte."""
    size = len(data)
    return bytes((tag,)) + (_LENGTHS[size] if size < 4096 else varint(size)) + data


def scalar(value: object) -> bytes:
    """An AnyValue's content. Bytes that are UTF-8 become a string; integers beyond 64 bits too, as OTLP maps them."""
    match value:
        case bytes():
            try:
                value.decode()
            except UnicodeDecodeError:
                return chunk(0x3A, value)
            return chunk(0x0A, value)
        case str():
            return chunk(0x0A, value.encode(errors="backslashreplace"))
        case bool():
            return b"\x10\x01" if value else b"\x10\x00"
        case int():
            return b"\x18" + varint(value) if value in _INT64 else chunk(0x0A, b"%d" % value)
        case list() | tuple():
            return chunk(0x2A, b"".join([chunk(0x0A, scalar(each)) for each in value]))
    raise TypeError(f"{type(value).__name__} is no attribute value")


def key_value(name: str, value: object) -> bytes:
    """A KeyValue's content."""
    return chunk(0x0A, name.encode(errors="backslashreplace")) + chunk(0x12, scalar(value))


_SHORT = 256
_BODY_PREFIXES = [chunk(0x2A, chunk(0x0A, bytes(n)))[: -n or None] for n in range(_SHORT)]


_ELEMENT_PREFIXES = [chunk(0x0A, chunk(0x0A, bytes(n)))[: -n or None] for n in range(_SHORT)]


@cache
def _string_prefixes(name: str) -> list[bytes]:
    """What stands before a string attribute's value, by the value's length."""
    return [chunk(0x32, key_value(name, bytes(n)))[: -n or None] for n in range(_SHORT)]


@cache
def _integer_prefixes(name: str) -> list[bytes]:
    """What stands before an integer attribute's varint, by the varint's length."""
    return [chunk(0x32, chunk(0x0A, name.encode()) + chunk(0x12, b"\x18" + bytes(n)))[:-n] for n in range(1, 11)]


def _element(value: Any) -> bytes:
    """A value within an ArrayValue."""
    if value.__class__ is bytes and len(value) < _SHORT and value.isascii():
        return _ELEMENT_PREFIXES[len(value)] + value
    return chunk(0x0A, scalar(value))


class Protobuf:
    """The codec of `records.Encoder` for OTLP/HTTP and OTLP/gRPC."""

    content_type = CONTENT_TYPE

    def head(self, name: str, severity: int, text: str) -> bytes:
        """The fields that all records of a kind share."""
        return chunk(0x62, name.encode()) + b"\x10" + varint(severity) + chunk(0x1A, text.encode())

    def moment(self, time: int) -> bytes:
        """time_unix_nano. Raises struct.error beyond 64 bits."""
        return _FIXED64(0x09, time)

    def observed(self, time: int) -> bytes:
        """observed_time_unix_nano."""
        return _FIXED64(0x59, time)

    def body(self, text: str) -> bytes:
        """The line for people."""
        data = text.encode(errors="backslashreplace")
        return _BODY_PREFIXES[len(data)] + data if len(data) < _SHORT else chunk(0x2A, chunk(0x0A, data))

    def identity(self, name: str) -> Callable[[str], bytes]:
        """Makes the first attribute, a string."""
        prefixes = _string_prefixes(name)

        def make(value: str) -> bytes:
            data = value.encode(errors="backslashreplace")
            return prefixes[len(data)] + data if len(data) < _SHORT else chunk(0x32, key_value(name, value))

        return make

    def attribute(self, name: str) -> Callable[[Any], bytes]:
        """Makes one more attribute."""
        strings, integers = _string_prefixes(name), _integer_prefixes(name)
        key = chunk(0x0A, name.encode())

        def make(value: Any) -> bytes:
            kind = value.__class__
            text: bytes = (
                value.encode(errors="backslashreplace") if kind is str else value if kind is bytes else b"\xff"
            )
            if len(text) < _SHORT and text.isascii():
                return strings[len(text)] + text
            if kind is int and value in _INT64:
                digits = varint(value)
                return integers[len(digits) - 1] + digits
            if kind is list or kind is tuple:
                return chunk(0x32, key + chunk(0x12, chunk(0x2A, b"".join(map(_element, value)))))
            return chunk(0x32, key_value(name, value))

        return make

    def ending(self, trace_id: bytes, span_id: bytes) -> bytes:
        """What a record ends with; an empty id is left out."""
        return (chunk(0x4A, trace_id) if trace_id else b"") + (chunk(0x52, span_id) if span_id else b"")

    def preamble(self, resource: Mapping[str, object], scope: str, version: str) -> tuple[bytes, bytes]:
        """Resource and scope, made once for `wrap`."""
        attributes = b"".join([chunk(0x0A, key_value(name, value)) for name, value in resource.items()])
        return chunk(0x0A, attributes), chunk(0x0A, chunk(0x0A, scope.encode()) + chunk(0x12, version.encode()))

    def wrap(self, preamble: tuple[bytes, bytes], records: Sequence[bytes]) -> bytes:
        """An ExportLogsServiceRequest of these records."""
        resource, scope = preamble
        parts = [scope] * (1 + 2 * len(records))
        try:
            parts[1::2] = map(_RECORD_PREFIXES.__getitem__, map(len, records))
        except IndexError:
            parts[1::2] = [b"\x12" + varint(len(record)) for record in records]
        parts[2::2] = records
        scoped = b"".join(parts)
        head = resource + b"\x12" + varint(len(scoped))
        return b"".join((b"\x0a", varint(len(head) + len(scoped)), head, scoped))


class MalformedMessage(ValueError):
    """Bytes that are no protobuf message."""


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The (field number, value) pairs of a message: integers of varint fields, bytes of all others.

    Raises MalformedMessage.
    """
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _read_varint(data, at)
        else:
            if tag & 7 == 2:
                size, at = _read_varint(data, at)
            elif tag & 7 in (1, 5):
                size = 8 if tag & 7 == 1 else 4
            else:
                raise MalformedMessage(f"wire type {tag & 7}")
            value, at = data[at : at + size], at + size
            if at > len(data):
                raise MalformedMessage("a field is cut short")
        yield tag >> 3, value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise MalformedMessage("an integer is cut short")


def read_partial_success(data: bytes) -> tuple[int, str]:
    """(rejected_log_records, error_message) of an ExportLogsServiceResponse; (0, "") of one that says nothing."""
    rejected, message = 0, ""
    for number, value in read_fields(data):
        if number == 1 and isinstance(value, bytes):
            for inner, detail in read_fields(value):
                if inner == 1 and isinstance(detail, int):
                    rejected = detail if detail < 1 << 63 else 0
                elif inner == 2 and isinstance(detail, bytes):
                    message = detail.decode(errors="replace")
    return rejected, message


def read_status(data: bytes) -> tuple[str, float | None]:
    """(message, seconds of its RetryInfo) of a google.rpc.Status, which servers send with an error."""
    message, delay = "", None
    for number, value in read_fields(data):
        if number == 2 and isinstance(value, bytes):
            message = value.decode(errors="replace")
        elif number == 3 and isinstance(value, bytes):
            detail = dict(read_fields(value))
            kind, content = detail.get(1), detail.get(2, b"")
            if kind == b"type.googleapis.com/google.rpc.RetryInfo" and isinstance(content, bytes):
                delay = _read_duration(dict(read_fields(content)).get(1, b""))
    return message, delay


def _read_duration(data: int | bytes) -> float | None:
    if not isinstance(data, bytes):
        return None
    parts = dict(read_fields(data))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int) or seconds >> 63:
        return None
    return seconds + nanos / 1e9
