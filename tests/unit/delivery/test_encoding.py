"""Both codecs against the official protobuf classes and `events.attributes`."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from fixtures.event_samples import any_events, make_open, make_process, processes
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from podcorder_agent.delivery import opens, renderings, resources
from podcorder_agent.delivery.jsonlines import JsonLines
from podcorder_agent.delivery.protobuf import Protobuf
from podcorder_agent.delivery.records import Encoder, Table
from podcorder_agent.interpreter import events
from podcorder_agent.interpreter.events import Event, attributes
from podcorder_agent.interpreter.subjects import Process

OBSERVED = 1_700_000_000_123_456_789
slow_to_draw = settings(suppress_health_check=[HealthCheck.too_slow])
RESOURCE: dict[str, object] = {"service.name": "podcorder", "host.name": "näme"}


def decode_protobuf(records: list[bytes], codec: Protobuf) -> list[LogRecord]:
    request = ExportLogsServiceRequest.FromString(codec.wrap(codec.preamble(RESOURCE, "podcorder", "1"), records))
    (resource_logs,) = request.resource_logs
    assert {each.key: each.value.string_value for each in resource_logs.resource.attributes} == RESOURCE
    (scope_logs,) = resource_logs.scope_logs
    assert (scope_logs.scope.name, scope_logs.scope.version) == ("podcorder", "1")
    return list(scope_logs.log_records)


def decode_json(records: list[bytes], codec: JsonLines) -> list[LogRecord]:
    line = codec.wrap(codec.preamble(RESOURCE, "podcorder", "1"), records)
    assert line.index(b"\n") == len(line) - 1
    (resource_logs,) = json.loads(line)["resourceLogs"]
    (scope_logs,) = resource_logs["scopeLogs"]
    return [to_record(each) for each in scope_logs["logRecords"]]


def to_record(found: dict[str, Any]) -> LogRecord:
    """A record in the OTLP/JSON mapping, whose 64-bit integers must be strings and whose ids must be hexadecimal."""
    assert isinstance(found["timeUnixNano"], str)
    assert isinstance(found["observedTimeUnixNano"], str)
    record = LogRecord(
        time_unix_nano=int(found["timeUnixNano"]),
        observed_time_unix_nano=int(found["observedTimeUnixNano"]),
        severity_number=found["severityNumber"],
        severity_text=found["severityText"],
        event_name=found["eventName"],
        body=to_value(found["body"]),
        trace_id=bytes.fromhex(found.get("traceId", "")),
        span_id=bytes.fromhex(found.get("spanId", "")),
    )
    for each in found["attributes"]:
        record.attributes.add(key=each["key"], value=to_value(each["value"]))
    return record


def to_value(found: dict[str, Any]) -> AnyValue:
    ((kind, value),) = found.items()
    match kind:
        case "stringValue":
            return AnyValue(string_value=value)
        case "boolValue":
            return AnyValue(bool_value=value)
        case "intValue":
            assert isinstance(value, str)
            return AnyValue(int_value=int(value))
        case "bytesValue":
            return AnyValue(bytes_value=b64decode(value, validate=True))
        case "arrayValue":
            made = AnyValue()
            made.array_value.SetInParent()
            made.array_value.values.extend(to_value(each) for each in value["values"])
            return made
    raise AssertionError(kind)


def expect_value(value: object) -> AnyValue:
    """What an attribute must be in OTLP, said with the official classes."""
    match value:
        case bytes():
            try:
                return AnyValue(string_value=value.decode())
            except UnicodeDecodeError:
                return AnyValue(bytes_value=value)
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value) if -(2**63) <= value < 2**63 else AnyValue(string_value=str(value))
        case str():
            return AnyValue(string_value=value)
        case list():
            made = AnyValue()
            made.array_value.SetInParent()
            made.array_value.values.extend(expect_value(each) for each in value)
            return made
    raise AssertionError(value)


def expect_severity(event: Event) -> tuple[int, str]:
    if isinstance(event, events.RecordingGap):
        return 17, "ERROR"
    if isinstance(event, events.Finding | events.NodeProxy | events.ProcessExecFailed | events.FileOpenFailed):
        return 13, "WARN"
    return (9, "INFO") if getattr(event, "error", None) is None else (13, "WARN")


def check(event: Event, record: LogRecord) -> None:
    names = [each.key for each in record.attributes]
    assert len(names) == len(set(names))
    expected = {name: expect_value(value) for name, value in attributes(event).items()}
    assert {each.key: each.value for each in record.attributes} == expected
    assert record.event_name == event.NAME
    assert record.time_unix_nano == event.time
    assert record.observed_time_unix_nano == OBSERVED
    assert (record.severity_number, record.severity_text) == expect_severity(event)
    assert record.body == AnyValue(string_value=renderings.render(event).encode(errors="backslashreplace").decode())
    session = None if event.process is None else event.process.session
    assert record.trace_id.hex() == ("" if session is None else session.id)
    assert record.span_id.hex() == ("" if event.process is None else event.process.span_id)


def encode(encoder: Encoder, found: list[Event]) -> list[bytes]:
    for each in found:
        if each.process is not None:
            each.process.encoded = None
    return encoder.encode_all(found, encoder.observed(OBSERVED))


@slow_to_draw
@given(st.lists(any_events(), max_size=3))
def test_every_event_decodes_to_its_attributes_from_protobuf(found: list[Event]) -> None:
    """What the official classes read from our bytes is what `events.attributes` says, whatever the values."""
    codec = Protobuf()
    encoder = Encoder(codec)
    # The second time all values were met before, and opens take the short way.
    records = decode_protobuf(encode(encoder, found) + encoder.encode_all(found, encoder.observed(OBSERVED)), codec)
    for event, record in zip(found * 2, records, strict=True):
        check(event, record)


@slow_to_draw
@given(st.lists(any_events(), max_size=3))
def test_every_event_decodes_to_its_attributes_from_json(found: list[Event]) -> None:
    """A JSON line holds the same records as protobuf does."""
    codec = JsonLines()
    encoder = Encoder(codec)
    records = decode_json(encode(encoder, found) + encoder.encode_all(found, encoder.observed(OBSERVED)), codec)
    for event, record in zip(found * 2, records, strict=True):
        check(event, record)


@pytest.mark.parametrize("kind", events.EVENTS)
def test_an_event_without_values_is_encoded(kind: type[Event]) -> None:
    """Of every class an event with nothing known but its id is a valid record."""
    codec = Protobuf()
    (record,) = decode_protobuf(encode(Encoder(codec), [kind(id="1.0.1")]), codec)
    assert [each.key for each in record.attributes] == ["podcorder.record.id"]


@slow_to_draw
@given(st.lists(processes(), min_size=2, max_size=2), st.lists(any_events(events.FileOpen), min_size=1, max_size=8))
def test_opens_take_the_short_way_to_the_same_record(owners: list[Process], found: list[Event]) -> None:
    """Opens of processes that come and go, with values met before and not, decode to their attributes."""
    codec = Protobuf()
    encoder = Encoder(codec)
    for number, event in enumerate(found):
        event.process = owners[number % 2]
    for order in (found, found[::-1], found):
        records = decode_protobuf(encoder.encode_all(order, encoder.observed(OBSERVED)), codec)
        for event, record in zip(order, records, strict=True):
            check(event, record)


def test_variety_does_not_change_what_is_written() -> None:
    """An encoder whose memory overflowed many times writes the same bytes as before and as a new one."""
    process = make_process()
    encoder = Encoder(Protobuf())
    found: list[Event] = [make_open(n, process, b"/tmp/%d" % n) for n in range(3 * opens.LIMIT)]
    encode(encoder, found)
    second = encode(encoder, found)
    assert encode(encoder, found) == second
    codec = Protobuf()
    for event, record in zip(found[-101:], decode_protobuf(second[-101:], codec), strict=True):
        check(event, record)
    assert all(len(table) <= Table.LIMIT for table in encoder._tables.values() if isinstance(table, Table))


def test_a_changed_process_is_encoded_anew() -> None:
    """After the interpreter cleared a process's cache its next record carries the new executable."""
    codec, process = Protobuf(), make_process()
    encoder = Encoder(codec)
    first = encoder.encode(make_open(1, process), encoder.observed(OBSERVED))
    process.executable, process.encoded = b"/usr/bin/tac", None
    second = encoder.encode(make_open(2, process), encoder.observed(OBSERVED))
    found = [
        next(each.value.string_value for each in record.attributes if each.key == "process.executable.path")
        for record in decode_protobuf([first, second], codec)
    ]
    assert found == ["/usr/bin/cat", "/usr/bin/tac"]


@example(time=-1)
@example(time=2**64)
@given(time=st.integers())
def test_impossible_times_are_clamped(time: int) -> None:
    """A journal with a mad clock still makes records."""
    codec = Protobuf()
    encoder = Encoder(codec)
    (record,) = decode_protobuf([encoder.encode(events.Finding(id="x", time=time), encoder.observed(time))], codec)
    assert record.time_unix_nano == record.observed_time_unix_nano == min(max(time, 0), 2**64 - 1)


def test_the_environment_wins_over_what_is_detected() -> None:
    """OTEL_SERVICE_NAME beats OTEL_RESOURCE_ATTRIBUTES, which beats detection; values are percent-decoded."""
    environment = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a,host.name=b%20c, team = x", "OTEL_SERVICE_NAME": "d"}
    found = resources.describe("node", "0" * 32, environment)
    assert (found["service.name"], found["host.name"], found["team"]) == ("d", "b c", "x")
    assert found["podcorder.boot.id"] == "0" * 32
    assert "host.id" not in found
