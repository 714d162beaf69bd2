"""What a slot's networks and ports let through."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bpf.network_programs import ACCEPTS, TCP, UDP, NetworkPrograms, assert_root

SCRIPT = """
    for address in ("127.0.0.1", "127.0.0.2", "127.9.0.1"):
        for port in (4001, 4002, 4003):
            listener = socket()
            listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen()
            client = socket()
            client.bind(("127.0.0.7", 0))
            client.connect((address, port))
            listener.accept()
            socket(AF_INET, SOCK_DGRAM).sendto(b"x", (address, port))
    listener = socket(AF_INET6)
    listener.bind(("::1", 4001))
    listener.listen()
    socket(AF_INET6).connect(("::1", 4001))
"""
ALL = {(address, port) for address in ("127.0.0.1", "127.0.0.2", "127.9.0.1") for port in (4001, 4002, 4003)}
SIX = {("::1", 4001)}


@pytest.fixture
def attach() -> Iterator[Any]:
    assert_root()
    attached: list[NetworkPrograms] = []

    def start(**settings: Any) -> NetworkPrograms:
        attached.append(NetworkPrograms(TCP, ACCEPTS, UDP, **settings))
        return attached[-1]

    yield start
    for each in attached:
        each.close()


@pytest.mark.parametrize(
    ("networks", "ports", "kept"),
    [
        ([], [], ALL | SIX),
        ([("127.0.0.0/16", "include")], [], {each for each in ALL if each[0].startswith("127.0.")}),
        ([("127.0.0.0/16", "exclude")], [], {each for each in ALL if each[0].startswith("127.9.")} | SIX),
        ([("127.0.0.0/8", "exclude"), ("127.0.0.2/32", "include")], [], {e for e in ALL if e[0] == "127.0.0.2"}),
        ([("0.0.0.0/0", "exclude")], [], SIX),
        ([("::1/128", "include")], [], SIX),
        ([], [(4002, 4003, "include")], {each for each in ALL if each[1] > 4001}),
        ([], [(4002, 4002, "exclude")], {each for each in ALL | SIX if each[1] != 4002}),
        ([], [(4002, 4002, "exclude"), (4001, 4003, "include")], {each for each in ALL | SIX if each[1] != 4002}),
        ([("127.0.0.1/32", "include")], [(4003, 4003, "include")], {("127.0.0.1", 4003)}),
    ],
)
def test_peer_and_port_decide(
    attach: Any, networks: list[tuple[str, str]], ports: list[tuple[int, int, str]], kept: set[tuple[str, int]]
) -> None:
    """Connects and datagrams pass by the peer's address and port: longest prefix, first range, and both must pass."""
    programs = attach(
        networks=[{"cidr": cidr, "verdict": verdict} for cidr, verdict in networks],
        ports=[{"first": first, "last": last, "verdict": verdict} for first, last, verdict in ports],
    )
    programs.run_python(SCRIPT)
    assert {(each.peer, each.peer_port) for each in programs.records("connect")} == kept
    assert {(each.peer, each.peer_port) for each in programs.records("datagram")} == kept - SIX
    for kind in ("connect", "datagram"):
        assert programs.counted(kind)[0] == len(programs.records(kind))


def test_inbound_is_decided_by_the_local_port(attach: Any) -> None:
    """Accepts pass by the client's address and the local port, listens by the local port alone."""
    programs = attach(
        networks=[{"cidr": "127.0.0.7/32", "verdict": "include"}],
        ports=[{"first": 4002, "last": 4002, "verdict": "include"}],
    )
    programs.run_python(SCRIPT)
    wanted = {each for each in ALL if each[1] == 4002}
    assert {(each.local, each.local_port) for each in programs.records("accept")} == wanted
    assert {each.peer for each in programs.records("accept")} == {"127.0.0.7"}
    assert {(each.local, each.local_port) for each in programs.records("listen")} == wanted
    assert programs.records("connect") == []


def test_class_that_is_not_wanted_is_not_recorded(attach: Any) -> None:
    """A slot's events decide for each class alone."""
    programs = attach(events=["accept"])
    programs.run_python(SCRIPT)
    assert {each.kind for each in programs.records()} == {"accept"}
