"""OTLP/HTTP against a real server on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from fixtures import receivers
from fixtures.event_samples import make_open, make_process
from fixtures.receivers import Receiver
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from podcorder_agent.delivery.http import HttpTransport
from podcorder_agent.delivery.records import Encoder
from podcorder_agent.delivery.retries import Backoff
from podcorder_agent.delivery.senders import Sender, Stop, Tally
from podcorder_agent.delivery.settings import read_settings
from podcorder_agent.delivery.transports import SendFailed, Verdict


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as found:
        yield found


def make_transport(receiver: Receiver, **environment: str) -> HttpTransport:
    return HttpTransport(read_settings({f"OTEL_EXPORTER_OTLP_{k}": v for k, v in environment.items()}, receiver.url))


def make_records(transport: HttpTransport, count: int) -> tuple[object, list[bytes], set[str]]:
    """A preamble, encoded records, and their ids."""
    encoder, process = Encoder(transport.codec), make_process()
    found = [make_open(number, process) for number in range(count)]
    preamble = transport.codec.preamble({"service.name": "podcorder"}, "podcorder", "1")
    return preamble, [encoder.encode(each, encoder.observed(1)) for each in found], {each.id for each in found}


def make_sender(transport: HttpTransport) -> tuple[Sender, Tally]:
    tally = Tally()
    return Sender(transport, Stop(5), tally, Backoff(0.01, 0.05)), tally


def once(ids: set[str]) -> dict[str, int]:
    return dict.fromkeys(ids, 1)


def test_records_arrive_at_the_signals_path(receiver: Receiver) -> None:
    """Requests go to /v1/logs of the endpoint, with its headers, over one connection."""
    transport = make_transport(receiver, HEADERS="api-key=s%20e")
    preamble, records, ids = make_records(transport, 7)
    sender, tally = make_sender(transport)
    assert sender.deliver(preamble, records[:3]) == []
    assert sender.deliver(preamble, records[3:]) == []
    assert receiver.accepted == once(ids)
    assert {path for path, _, _ in receiver.seen} == {"/v1/logs"}
    assert {headers["api-key"] for _, headers, _ in receiver.seen} == {"s e"}
    assert {headers["Content-Type"] for _, headers, _ in receiver.seen} == {"application/x-protobuf"}
    assert (tally.delivered, tally.requests, tally.retries) == (7, 2, 0)


def test_gzip_is_used_where_asked_for(receiver: Receiver) -> None:
    """With compression the same records arrive, in a request marked as gzip."""
    transport = make_transport(receiver, COMPRESSION="gzip")
    preamble, records, ids = make_records(transport, 7)
    make_sender(transport)[0].deliver(preamble, records)
    assert receiver.accepted == once(ids)
    assert receiver.seen[0][1]["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 401, 403, 404, 302])
def test_nothing_is_dropped_over_an_outage_or_a_wrong_token(receiver: Receiver, status: int) -> None:
    """Whatever the status but a refusal of the content, the same request is sent until it is taken."""
    transport = make_transport(receiver)
    preamble, records, ids = make_records(transport, 5)
    receiver.script.extend([receivers.refuse(status)] * 3)
    sender, tally = make_sender(transport)
    assert sender.deliver(preamble, records) == []
    assert receiver.accepted == once(ids)
    assert (tally.delivered, tally.retries) == (5, 3)


@pytest.mark.parametrize("behaviour", [receivers.hang_up, receivers.hang_up_half_way])
@pytest.mark.parametrize("warm", [False, True], ids=["new connection", "old connection"])
def test_a_connection_that_breaks_loses_nothing(receiver: Receiver, behaviour: receivers.Behaviour, warm: bool) -> None:
    """A request whose answer did not come whole is sent again: the receiver has it twice rather than never."""
    transport = make_transport(receiver)
    preamble, records, ids = make_records(transport, 5)
    sender, tally = make_sender(transport)
    if warm:
        sender.deliver(preamble, [])
    receiver.script.append(behaviour)
    assert sender.deliver(preamble, records) == []
    assert receiver.accepted == dict.fromkeys(ids, 2)
    assert tally.delivered == 5


def test_a_connection_closed_while_idle_is_opened_again(receiver: Receiver) -> None:
    """A server that closed between requests costs no waiting and no log line."""
    transport = make_transport(receiver)
    preamble, records, ids = make_records(transport, 6)
    receiver.script.append(receivers.accept_and_close)
    sender, tally = make_sender(transport)
    sender.deliver(preamble, records[:3])
    sender.deliver(preamble, records[3:])
    assert receiver.accepted == once(ids)
    assert tally.retries == 0


def test_nobody_listening_is_tried_again() -> None:
    """A refused connection is an outage."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    transport = HttpTransport(read_settings({}, f"http://127.0.0.1:{port}"))
    with pytest.raises(SendFailed) as failed:
        transport.send(b"")
    assert failed.value.verdict is Verdict.RETRY


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(receiver: Receiver) -> None:
    """The receiver's wish is passed on, whether number or date."""
    transport = make_transport(receiver)
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    receiver.script += [receivers.refuse(503, Retry_After="7"), receivers.refuse(429, Retry_After=later)]
    waits = []
    for _ in range(2):
        with pytest.raises(SendFailed) as failed:
            transport.send(b"")
        waits.append(failed.value.after)
    assert waits[0] == 7
    assert waits[1] == pytest.approx(100, abs=5)


def test_partial_success_is_counted(receiver: Receiver) -> None:
    """Records that the receiver rejected are not sent again, and how many they were is told."""
    transport = make_transport(receiver)
    preamble, records, _ = make_records(transport, 7)
    receiver.script.append(receivers.accept_partly(2, "too old"))
    sender, tally = make_sender(transport)
    (rejection,) = sender.deliver(preamble, records)
    assert (rejection.reason, rejection.count, rejection.message) == ("rejected_by_collector", 2, "too old")
    assert (tally.delivered, tally.rejected) == (5, 2)
    assert len(receiver.seen) == 1


@pytest.mark.parametrize("status", [400, 413])
def test_a_poisoned_record_is_found_and_the_others_arrive(receiver: Receiver, status: int) -> None:
    """A request refused for its content is halved until the culprit stands alone; all others arrive once."""
    transport = make_transport(receiver)
    preamble, records, ids = make_records(transport, 100)
    poisoned = "f00dfeedf00dfeed.0.61"

    def behaviour(handler: receivers.Handler, request: ExportLogsServiceRequest) -> None:
        if poisoned in receivers.record_ids(request):
            handler.answer(status, b"no", "text/plain")
        else:
            receivers.accept(handler, request)

    receiver.usual = behaviour
    sender, tally = make_sender(transport)
    (rejection,) = sender.deliver(preamble, records)
    assert (rejection.reason, rejection.indexes) == ("rejected", range(61, 62))
    assert receiver.accepted == once(ids - {poisoned})
    assert (tally.delivered, tally.rejected) == (99, 1)


def test_a_receiver_that_refuses_everything_rejects_nothing(receiver: Receiver) -> None:
    """Where even an empty request is refused the address is wrong: records are kept until it is mended."""
    transport = make_transport(receiver)
    preamble, records, ids = make_records(transport, 4)
    receiver.script += [receivers.refuse(400)] * 6
    sender, tally = make_sender(transport)
    assert sender.deliver(preamble, records) == []
    assert receiver.accepted == once(ids)
    assert tally.rejected == 0


def test_a_web_page_is_no_acknowledgement(receiver: Receiver) -> None:
    """A 200 with HTML, such as a login page, does not count as delivered."""
    transport = make_transport(receiver)
    preamble, records, ids = make_records(transport, 4)
    receiver.script.append(receivers.refuse(200, b"<html>", "text/html; charset=utf-8"))
    make_sender(transport)[0].deliver(preamble, records)
    assert receiver.accepted == once(ids)
