"""TCP connects, listens and accepts as the kernel programs record them."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator

import pytest
from bpf.network_programs import ACCEPTS, TCP, UNSETTLED, NetworkPrograms, assert_root

BLACK_HOLE = """
    ip link add hole type bridge && ip addr add 192.0.2.1/24 dev hole && ip link set hole up &&
    ip neigh add 192.0.2.2 lladdr 02:00:00:00:00:01 dev hole nud permanent
"""
"""What is sent to 192.0.2.2 is never answered, and never leaves the namespace."""


@pytest.fixture
def programs() -> Iterator[NetworkPrograms]:
    assert_root()
    attached = NetworkPrograms(TCP, ACCEPTS)
    yield attached
    attached.close()


@pytest.mark.parametrize(
    ("family", "address", "recorded_family", "recorded"),
    [
        ("AF_INET", "127.0.0.1", 2, "127.0.0.1"),
        ("AF_INET6", "::1", 10, "::1"),
        ("AF_INET6", "::ffff:127.0.0.1", 2, "127.0.0.1"),
    ],
)
def test_connection_is_seen_from_both_ends(
    programs: NetworkPrograms, family: str, address: str, recorded_family: int, recorded: str
) -> None:
    """One listen, one established connect and one accept, whose ends mirror each other; IPv4 in IPv6 is IPv4."""
    client, server = programs.run_python(
        """
        family, address = globals()[sys.argv[1]], sys.argv[2]
        listener = socket(family, SOCK_STREAM)
        listener.bind((address, 0))
        listener.listen()
        client = socket(family, SOCK_STREAM)
        client.connect(listener.getsockname())
        listener.accept()
        print(client.getsockname()[1], listener.getsockname()[1])
        """,
        family,
        address,
    )
    listen, connect, accept = programs.records()
    assert [listen.kind, connect.kind, accept.kind] == ["listen", "connect", "accept"]
    assert listen.local_port == int(server)
    assert (connect.result, connect.family, connect.protocol) == (0, recorded_family, 6)
    assert (connect.local, connect.local_port) == (recorded, int(client))
    assert (connect.peer, connect.peer_port) == (recorded, int(server))
    assert (accept.peer, accept.peer_port, accept.local, accept.local_port) == (
        recorded, int(client), recorded, int(server),
    )  # fmt: skip
    assert connect.latency > 0
    assert not connect.flags


def test_refusal_is_recorded_once_with_its_local_port(programs: NetworkPrograms) -> None:
    """A blocking and a non-blocking connect that are refused, and the calls that report it, make one record each."""
    ports = programs.run_python(
        """
        for blocking in (True, False):
            client = socket()
            client.bind(("127.0.0.1", 0))
            client.setblocking(blocking)
            first = client.connect_ex(("127.0.0.1", 1))
            time.sleep(0.05)
            if not blocking:
                assert client.connect_ex(("127.0.0.1", 1)) == errno.ECONNREFUSED
            print(client.getsockname()[1])
        """
    )
    records = programs.records()
    assert [(each.result, each.peer_port) for each in records] == [(-errno.ECONNREFUSED, 1)] * 2
    assert [each.local_port for each in records] == [int(port) for port in ports]


def test_timeout_belongs_to_the_task_that_called(programs: NetworkPrograms) -> None:
    """The outcome of a connect that times out comes in another task, and is recorded as the caller's."""
    programs.run_python(
        """
        subprocess.run(sys.argv[1], shell=True, check=True)
        client = socket()
        client.setsockopt(IPPROTO_TCP, TCP_SYNCNT, 1)
        open("/proc/self/comm", "w").write("patient")
        assert client.connect_ex(("192.0.2.2", 7)) == errno.ETIMEDOUT
        """,
        BLACK_HOLE,
    )
    (record,) = programs.records()
    assert (record.result, record.peer, record.peer_port) == (-errno.ETIMEDOUT, "192.0.2.2", 7)
    assert record.comm == "patient"
    assert record.latency > 500_000_000


def test_connect_given_up_is_aborted(programs: NetworkPrograms) -> None:
    """A socket closed, or disconnected, before there was an answer leaves one aborted connect."""
    programs.run_python(
        """
        subprocess.run(sys.argv[1], shell=True, check=True)
        import ctypes
        for disconnect in (False, True):
            client = socket()
            client.setblocking(False)
            assert client.connect_ex(("192.0.2.2", 7)) == errno.EINPROGRESS
            if disconnect:
                nowhere = bytes(16)
                assert ctypes.CDLL(None).connect(client.fileno(), nowhere, 16) == 0
            client.close()
        """,
        BLACK_HOLE,
    )
    assert [each.result for each in programs.records()] == [-errno.ECONNABORTED] * 2


def test_connect_shut_down_before_an_answer_is_aborted(programs: NetworkPrograms) -> None:
    """A packet was sent, so shutdown() hides nothing: one aborted connect each time, from one socket or from many."""
    programs.run_python(
        """
        subprocess.run(sys.argv[1], shell=True, check=True)
        for port in range(7, 10):
            client = socket()
            client.setblocking(False)
            assert client.connect_ex(("192.0.2.2", port)) == errno.EINPROGRESS
            client.shutdown(SHUT_RDWR)
            client.close()
        again = socket()
        again.setblocking(False)
        for port in range(10, 13):
            assert again.connect_ex(("192.0.2.2", port)) == errno.EINPROGRESS
            again.shutdown(SHUT_RDWR)
        """,
        BLACK_HOLE,
    )
    seen = [(each.peer_port, each.result) for each in programs.records("connect")]
    assert seen == [(port, -errno.ECONNABORTED) for port in range(7, 13)]
    assert programs.counted("connect") == (6, 0)


def test_connect_that_never_leaves_is_recorded_with_the_callers_error(programs: NetworkPrograms) -> None:
    """No route, a forbidden route and no free port are recorded once each, with what connect returned."""
    programs.run_python(
        """
        def attempt(client, *address):
            return client.connect_ex(address)
        assert attempt(socket(), "198.51.100.1", 7) == errno.ENETUNREACH
        assert attempt(socket(AF_INET6), "2001:db8::1", 7) == errno.ENETUNREACH
        subprocess.run("ip route add prohibit 203.0.113.0/24", shell=True, check=True)
        assert attempt(socket(), "203.0.113.1", 7) == errno.EACCES
        listener = socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        open("/proc/sys/net/ipv4/ip_local_port_range", "w").write("40000 40001")
        held = [socket() for _ in range(3)]
        results = [attempt(each, *listener.getsockname()) for each in held]
        assert results.count(errno.EADDRNOTAVAIL) >= 1, results
        print(results.count(0), results.count(errno.EADDRNOTAVAIL))
        """
    )
    records = programs.records("connect")
    assert [(each.result, each.peer, each.flags) for each in records[:3]] == [
        (-errno.ENETUNREACH, "198.51.100.1", UNSETTLED),
        (-errno.ENETUNREACH, "2001:db8::1", UNSETTLED),
        (-errno.EACCES, "203.0.113.1", UNSETTLED),
    ]
    assert len(records) == 6
    assert {each.peer for each in records[3:]} == {"127.0.0.1"}
    assert {each.result for each in records[3:]} == {0, -errno.EADDRNOTAVAIL}
    assert not any(each.flags for each in records[3:])


def test_waiting_calls_make_no_record_of_their_own(programs: NetworkPrograms) -> None:
    """EINPROGRESS, EALREADY, EISCONN and bad descriptors are not attempts."""
    programs.run_python(
        """
        listener = socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        select.select([], [client], [])
        client.connect_ex(listener.getsockname())
        assert client.connect_ex(listener.getsockname()) == errno.EISCONN
        import ctypes
        ctypes.CDLL(None).connect(999, bytes(16), 16)
        """
    )
    assert [each.result for each in programs.records("connect")] == [0]


def test_fast_open_is_a_connect(programs: NetworkPrograms) -> None:
    """A connection begun by its first data is recorded like any other."""
    programs.run_python(
        """
        open("/proc/sys/net/ipv4/tcp_fastopen", "w").write("3")
        listener = socket()
        listener.bind(("127.0.0.1", 0))
        listener.setsockopt(IPPROTO_TCP, TCP_FASTOPEN, 5)
        listener.listen()
        for _ in range(3):
            client = socket()
            client.sendto(b"x", MSG_FASTOPEN, listener.getsockname())
            listener.accept()
        deferred = socket()
        deferred.setsockopt(IPPROTO_TCP, 30, 1)
        deferred.connect(listener.getsockname())
        deferred.send(b"x")
        listener.accept()
        """
    )
    assert Counter((each.kind, each.result) for each in programs.records()) == {
        ("listen", 0): 1,
        ("connect", 0): 4,
        ("accept", 0): 4,
    }


def test_both_ends_opening_at_once_is_established(programs: NetworkPrograms) -> None:
    """A socket connected to itself passes through SYN_RECV, and its connect is established."""
    programs.run_python(
        """
        own = socket()
        own.bind(("127.0.0.1", 0))
        own.connect(own.getsockname())
        """
    )
    (record,) = programs.records()
    assert (record.kind, record.result, record.local_port) == ("connect", 0, record.peer_port)


def test_each_kind_adds_up(programs: NetworkPrograms) -> None:
    """Of a prime number of connects, refusals and accepts each one is generated, and all are in the ring."""
    programs.run_python(
        """
        listener = socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        reset = struct.pack("ii", 1, 0)
        for _ in range(1009):
            client = socket()
            client.setsockopt(SOL_SOCKET, SO_LINGER, reset)
            client.connect(listener.getsockname())
            listener.accept()[0].close()
            client.close()
        for _ in range(101):
            socket().connect_ex(("127.0.0.1", 1))
        """
    )
    seen = Counter((each.kind, each.result) for each in programs.records())
    assert seen == {("listen", 0): 1, ("connect", 0): 1009, ("connect", -111): 101, ("accept", 0): 1009}
    assert programs.counted("connect") == (1110, 0)
    assert programs.counted("accept") == (1009, 0)


def test_overflow_is_counted() -> None:
    """With a ring that is too small, generated = seen + lost, for each class."""
    assert_root()
    programs = NetworkPrograms(TCP, ACCEPTS, ring_bytes=4096)
    try:
        programs.run_python(
            """
            for _ in range(211):
                socket().connect_ex(("127.0.0.1", 1))
            """
        )
        generated, lost = programs.counted("connect")
        assert generated == 211
        assert 0 < lost == 211 - len(programs.records("connect"))
    finally:
        programs.close()


def test_full_map_is_counted() -> None:
    """Connects in progress beyond what the kernel can remember are generated and lost; the others end as they do."""
    assert_root()
    room, more = 16384, 101
    programs = NetworkPrograms(TCP, ring_bytes=8 * 1024 * 1024)
    try:
        programs.run_python(
            """
            import resource
            subprocess.run(sys.argv[1], shell=True, check=True)
            count = int(sys.argv[2])
            resource.setrlimit(resource.RLIMIT_NOFILE, (count + 99, count + 99))
            clients = [socket() for _ in range(count)]
            for client in clients:
                client.setblocking(False)
                assert client.connect_ex(("192.0.2.2", 7)) == errno.EINPROGRESS
            """,
            BLACK_HOLE,
            str(room + more),
        )
        assert programs.counted("connect") == (room + more, more)
        assert Counter(each.result for each in programs.records()) == {-errno.ECONNABORTED: room}
    finally:
        programs.close()


def test_unselected_tasks_leave_nothing(programs: NetworkPrograms) -> None:
    """What runs in another cgroup makes no record and counts nothing."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            listener.accept()[0].close()
    assert programs.records() == []
    assert programs.counted("connect") == (0, 0)
