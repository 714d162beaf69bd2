"""The control socket's server under clients of every kind."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podcorder_agent.control.client import ControlClient, ControlError, ControlUnreachable
from podcorder_agent.control.messages import Message, MessageError, encode_message
from podcorder_agent.recorder.server import CONNECTIONS, ControlServer


class Served:
    """A server in a thread, with a handler that remembers what it was asked."""

    def __init__(self, path: Path, uids: frozenset[int]) -> None:
        self.path = path
        self.asked: list[tuple[int, str]] = []
        self._poller = select.epoll()
        self._server = ControlServer(path, uids, 0o600, -1, self._poller)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for descriptor, mask in self._poller.poll(0.01):
                self._server.serve(descriptor, mask, self._handle)

    def _handle(self, number: int, uid: int, kind: str, request: Message) -> Message:
        if kind == "fact" and request["subject"] == "bad":
            raise MessageError("this one is refused")
        self.asked.append((number, kind))
        return {"count": len(self.asked), "padding": "x" * request.get("data", 0) if kind == "fact" else ""}

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self._server.close()

    def connect(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(5)
        connected.connect(str(self.path))
        return connected


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    servers: list[Served] = []

    def start(uids: frozenset[int] | None = None) -> Served:
        servers.append(Served(tmp_path / "control.sock", uids or frozenset({os.getuid()})))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


def request(number: int, kind: str, **fields: Any) -> bytes:
    return encode_message({"version": 1, "number": number, "kind": kind, **fields})


def test_client_and_server_understand_each_other(serve: Callable[..., Served]) -> None:
    """Each request is answered with its own reply, a refusal with its reason."""
    with ControlClient(serve().path, "test") as client:
        assert client.hello()["count"] == 1
        assert client.flush()["count"] == 2
        with pytest.raises(ControlError, match="this one is refused"):
            client.fact("bad", 0)
        assert client.health()["count"] == 3


def test_repeated_number_is_not_done_again(serve: Callable[..., Served]) -> None:
    """The same number of the same client gets the same answer; another client's number is its own."""
    served = serve()
    for name, count in (("one", 1), ("two", 2)):
        for _ in range(2):
            with served.connect() as connection:
                connection.sendall(request(1, "hello", name=name) + request(5, "fact", subject="a", data=1))
                data = b""
                while data.count(b'"number":5') < 1:
                    data += connection.recv(4096)
        assert [kind for _, kind in served.asked].count("fact") == count


def test_first_request_is_hello(serve: Callable[..., Served]) -> None:
    """Nothing is done for a peer that has not said its name."""
    served = serve()
    with served.connect() as connection:
        connection.sendall(request(1, "stop"))
        assert b"hello" in connection.recv(4096)
    assert served.asked == []


def test_silly_bytes_end_only_their_own_connection(serve: Callable[..., Served]) -> None:
    """A stream that cannot be trusted is closed with one last word; the others go on."""
    served = serve()
    with served.connect() as silly, ControlClient(served.path, "test") as client:
        client.flush()
        silly.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b'"ok":false' in silly.recv(4096)
        assert silly.recv(4096) == b""
        assert client.flush()["ok"]


def test_slow_reader_holds_nobody(serve: Callable[..., Served]) -> None:
    """Replies that are not read are kept up to a bound, while others are served."""
    served = serve()
    with served.connect() as slow, ControlClient(served.path, "test") as client:
        slow.setblocking(False)
        slow.send(request(1, "hello", name="slow"))
        closed = False
        for number in range(2, 40):
            try:
                slow.send(request(number, "fact", subject="large", data=1 << 20))
            except (BrokenPipeError, ConnectionResetError):
                closed = True
                break
            assert client.flush()["ok"]
        assert closed, "a peer that never reads must lose its connection at the bound"


def test_strangers_are_turned_away(serve: Callable[..., Served]) -> None:
    """A peer of another uid gets no answer."""
    served = serve(frozenset({os.getuid() + 1}))
    with served.connect() as stranger:
        assert stranger.recv(1) == b""
    assert served.asked == []


def test_connections_are_bounded(serve: Callable[..., Served]) -> None:
    """One more than the bound is turned away, and there is room again when one goes."""
    served = serve()
    held = []
    for number in range(CONNECTIONS):
        held.append(served.connect())
        held[-1].sendall(request(1, "hello", name=f"client-{number}"))
        assert held[-1].recv(4096)
    with served.connect() as extra:
        assert extra.recv(1) == b""
    for each in held:
        each.close()
    deadline = time.monotonic() + 5
    while True:
        try:
            with ControlClient(served.path, "test") as client:
                assert client.flush()["ok"]
                break
        except ControlUnreachable:
            assert time.monotonic() < deadline, "closed connections still count"


def announce(length: int) -> bytes:
    return length.to_bytes(4, "big")


def test_a_peer_without_a_name_may_not_hold_much(serve: Callable[..., Served]) -> None:
    """Half a message that is longer than any `hello` ends the connection of a peer that has not said hello."""
    served = serve()
    with served.connect() as connected:
        connected.sendall(announce(1 << 20) + b" " * 8192)
        assert b"hello" in connected.recv(4096)
        assert connected.recv(4096) == b""


def test_half_messages_are_bounded_together(serve: Callable[..., Served]) -> None:
    """Peers that leave large messages unfinished cannot make the recorder hold more than one of the largest."""
    served = serve()
    peers = [served.connect() for _ in range(3)]
    refused = 0
    for number, peer in enumerate(peers):
        peer.sendall(request(1, "hello", name=f"peer-{number}"))
        assert b'"ok":true' in peer.recv(4096)
        try:
            peer.sendall(announce(15 << 20) + b" " * (12 << 20))
        except OSError:
            refused += 1
    assert refused == 2, "one of 12 MiB fits, and no second"
    with ControlClient(served.path, "another") as client:
        assert client.fact("still", 1)["ok"]
    for peer in peers:
        peer.close()
