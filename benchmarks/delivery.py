"""What delivery alone costs: encoding and sending, events per CPU-second, each class and each form of OTLP.

    python -m benchmarks.delivery [EVENTS]

Events are interpreted beforehand, a frame at a time as the exporter has them; the receiver is a process of its own that
reads and acknowledges. `benchmarks/exporter.py` measures the whole way from the journal.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.interpreter import MAKERS, make_journal
from benchmarks.tables import render_table
from podcorder_agent.delivery.destinations import open_transport
from podcorder_agent.delivery.exporter import MOST_RECORDS
from podcorder_agent.delivery.records import Encoder
from podcorder_agent.delivery.settings import read_settings
from podcorder_agent.delivery.transports import Transport
from podcorder_agent.interpreter import Interpreter
from podcorder_agent.journal import Frame

EVENTS = 100_000
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"


def acknowledge(connection: socket.socket) -> None:
    """Read requests and say yes, as cheaply as can be."""
    with connection, connection.makefile("rb") as stream:
        size = 0
        for line in iter(stream.readline, b""):
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
            elif line == b"\r\n":
                stream.read(size)
                connection.sendall(ANSWER)


@contextmanager
def receiving() -> Iterator[str]:
    """The URL of a receiver in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        child = os.fork()
        if child == 0:
            while True:
                threading.Thread(target=acknowledge, args=(listener.accept()[0],), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)


def measure(frames: list[Frame], transport: Transport) -> tuple[int, int, float, float]:
    """(events, bytes, CPU seconds of encoding, CPU seconds of sending)."""
    encoder, interpreter = Encoder(transport.codec), Interpreter()
    preamble = transport.codec.preamble({"service.name": "podcorder"}, "podcorder", "1")
    records: list[bytes] = []
    events = sent = 0
    encoding = sending = 0.0
    for number, frame in enumerate(frames, 1):
        found = interpreter.interpret(frame)
        events += len(found)
        begun = time.process_time()
        records += encoder.encode_all(found, encoder.observed(1))
        encoded = time.process_time()
        encoding += encoded - begun
        if len(records) >= MOST_RECORDS - len(found) or number == len(frames):
            request = transport.codec.wrap(preamble, records)
            transport.send(request)
            sending += time.process_time() - encoded
            sent += len(request)
            records = []
    return events, sent, encoding, sending


def run(count: int = EVENTS) -> str:
    """The table."""
    rows = []
    with receiving() as url, tempfile.TemporaryDirectory(prefix="podcorder-bench-") as directory:
        forms = {
            "protobuf": (url, {}),
            "gzip": (url, {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip"}),
            "JSON lines": (str(Path(directory) / "out.jsonl"), {}),
        }
        for form, (to, environment) in forms.items():
            for kind, make in MAKERS.items() if form == "protobuf" else [("mix", MAKERS["mix"])]:
                transport = open_transport(read_settings(environment, to))
                events, sent, encoding, sending = measure(make_journal(make, count), transport)
                transport.close()
                rate = events / (encoding + sending)
                times = [f"{each / events * 1e6:.2f}" for each in (encoding, sending)]
                rows.append([f"{form}: {kind}", f"{rate:,.0f}", *times, f"{sent / events:.0f}"])
    head = ["delivery alone", "events/CPU-s", "encode us", "send us", "bytes each"]
    return render_table("Encoding and sending over HTTP to a receiver that acknowledges", head, rows)


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS))
