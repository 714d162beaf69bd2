"""Reading what receivers answer."""

from __future__ import annotations

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse

from podcorder_agent.delivery.protobuf import MalformedMessage, read_partial_success, read_status


@given(st.integers(-(2**63), 2**63 - 1), st.text())
def test_partial_success_is_read(rejected: int, message: str) -> None:
    """Count and message come out as the official classes put them in; a negative count is none."""
    partial = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    answer = ExportLogsServiceResponse(partial_success=partial).SerializeToString()
    assert read_partial_success(answer) == (max(0, rejected), message)


@given(st.binary())
def test_any_answer_is_read_or_malformed(answer: bytes) -> None:
    """No bytes make the reader fail in another way, or for ever."""
    for read in (read_partial_success, read_status):
        try:
            read(answer)
        except MalformedMessage:
            pass


@pytest.mark.parametrize(("seconds", "nanos"), [(0, 0), (7, 0), (3, 500_000_000), (0, 1)])
def test_retry_info_is_read(seconds: int, nanos: int) -> None:
    """A google.rpc.Status with RetryInfo gives its message and its delay."""
    status_pb2 = importlib.import_module("google.rpc.status_pb2")
    from google.rpc.error_details_pb2 import RetryInfo

    detail = RetryInfo()
    detail.retry_delay.seconds, detail.retry_delay.nanos = seconds, nanos
    status = status_pb2.Status(code=14, message="later")
    status.details.add().Pack(detail)
    message, delay = read_status(status.SerializeToString())
    assert message == "later"
    assert delay == pytest.approx(seconds + nanos / 1e9)
