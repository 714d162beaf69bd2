"""OTLP/gRPC against a real server of grpcio on loopback."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from fixtures.event_samples import make_open, make_process
from fixtures.receivers import partial_success, record_ids
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import RetryInfo
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from podcorder_agent.delivery.grpc import METHOD, GrpcTransport
from podcorder_agent.delivery.records import Encoder
from podcorder_agent.delivery.retries import Backoff
from podcorder_agent.delivery.senders import Sender, Stop, Tally
from podcorder_agent.delivery.settings import read_settings
from podcorder_agent.delivery.transports import SendFailed, Verdict

Behaviour = Callable[["Service", ExportLogsServiceRequest, grpc.ServicerContext], bytes]


class Service(grpc.GenericRpcHandler):
    """LogsService of raw bytes; `script` says what the next requests meet, all others are taken."""

    def __init__(self) -> None:
        self.accepted: Counter[str] = Counter()
        self.metadata: list[dict[str, str]] = []
        self.script: deque[Behaviour] = deque()
        self.usual: Behaviour = accept

    def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return grpc.unary_unary_rpc_method_handler(self.export) if call.method == METHOD else None

    def export(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.metadata.append(dict(context.invocation_metadata()))
        behaviour = self.script.popleft() if self.script else self.usual
        return behaviour(self, ExportLogsServiceRequest.FromString(request), context)


def accept(service: Service, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> bytes:
    service.accepted.update(record_ids(request))
    return b""


def refuse(code: grpc.StatusCode, detail: str = "no", retry: int | None = None) -> Behaviour:
    def behaviour(service: Service, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> bytes:
        if retry is not None:
            info = RetryInfo()
            info.retry_delay.seconds = retry
            status = status_pb2.Status(code=code.value[0], message=detail)
            status.details.add().Pack(info)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(code, detail)
        return b""

    return behaviour


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    found = Service()
    server = grpc.server(ThreadPoolExecutor(2), [found])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield found, f"http://127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def transport(service: tuple[Service, str]) -> Iterator[GrpcTransport]:
    environment = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_HEADERS": "API-Key=s%20e"}
    found = GrpcTransport(read_settings(environment, service[1]))
    yield found
    found.close()


def deliver(transport: GrpcTransport, count: int) -> tuple[Tally, list[object], set[str]]:
    encoder, process, tally = Encoder(transport.codec), make_process(), Tally()
    found = [make_open(number, process) for number in range(count)]
    records = encoder.encode_all(found, encoder.observed(1))
    sender = Sender(transport, Stop(5), tally, Backoff(0.01, 0.05))
    rejections = sender.deliver(transport.codec.preamble({}, "podcorder", "1"), records)
    return tally, list(rejections), {each.id for each in found}


def test_records_arrive(service: tuple[Service, str], transport: GrpcTransport) -> None:
    """The raw bytes are a request of LogsService/Export, with the headers as metadata."""
    tally, _, ids = deliver(transport, 7)
    assert service[0].accepted == dict.fromkeys(ids, 1)
    assert service[0].metadata[0]["api-key"] == "s e"
    assert tally.delivered == 7


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "UNAUTHENTICATED", "UNIMPLEMENTED", "INTERNAL"])
def test_nothing_is_dropped_over_an_outage_or_a_wrong_token(
    service: tuple[Service, str], transport: GrpcTransport, code: str
) -> None:
    """Whatever the code but a refusal of the content, the same request is sent until it is taken."""
    service[0].script.extend([refuse(grpc.StatusCode[code])] * 2)
    tally, rejections, ids = deliver(transport, 5)
    assert service[0].accepted == dict.fromkeys(ids, 1)
    assert (rejections, tally.retries) == ([], 2)


@pytest.mark.parametrize(
    ("code", "detail", "retry", "verdict"),
    [
        ("UNAVAILABLE", "later", None, Verdict.RETRY),
        ("UNAVAILABLE", "later", 7, Verdict.RETRY),
        ("RESOURCE_EXHAUSTED", "quota", 9, Verdict.RETRY),
        ("RESOURCE_EXHAUSTED", "quota", None, Verdict.KEEP),
        ("RESOURCE_EXHAUSTED", "grpc: received message larger than max (9 vs. 4)", None, Verdict.SPLIT),
        ("INVALID_ARGUMENT", "bad", None, Verdict.SPLIT),
        ("PERMISSION_DENIED", "token", None, Verdict.KEEP),
    ],
)
def test_codes_are_judged_as_the_specification_says(
    service: tuple[Service, str],
    transport: GrpcTransport,
    code: str,
    detail: str,
    retry: int | None,
    verdict: Verdict,
) -> None:
    """A failure's code and RetryInfo decide whether and when to try again."""
    service[0].script.append(refuse(grpc.StatusCode[code], detail, retry))
    with pytest.raises(SendFailed) as failed:
        transport.send(b"")
    assert (failed.value.verdict, failed.value.after) == (verdict, retry)


def test_partial_success_is_counted(service: tuple[Service, str], transport: GrpcTransport) -> None:
    """Rejected records are told, and not sent again."""
    service[0].script.append(lambda *_: partial_success(3, "too old"))
    tally, (rejection,), _ = deliver(transport, 7)
    assert (rejection.count, rejection.message) == (3, "too old")
    assert (tally.delivered, tally.rejected, tally.requests) == (4, 3, 1)


def test_a_poisoned_record_is_found(service: tuple[Service, str], transport: GrpcTransport) -> None:
    """INVALID_ARGUMENT is halved down to the record at fault."""
    poisoned = "f00dfeedf00dfeed.0.3"

    def usual(service: Service, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> bytes:
        if poisoned in record_ids(request):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad")
        return accept(service, request, context)

    service[0].usual = usual
    tally, (rejection,), ids = deliver(transport, 7)
    assert rejection.indexes == range(3, 4)
    assert service[0].accepted == dict.fromkeys(ids - {poisoned}, 1)
    assert tally.rejected == 1
