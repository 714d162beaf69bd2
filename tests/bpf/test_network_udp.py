"""UDP as the kernel programs record it: the first datagram of a socket to each peer, and the first that failed."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Iterator

import pytest
from bpf.network_programs import UDP, UDP_BY_PACKET, NetworkPrograms, assert_root

from podcorder_agent.recorder.ladders import Capability


@pytest.fixture
def programs() -> Iterator[NetworkPrograms]:
    assert_root()
    attached = NetworkPrograms(UDP)
    yield attached
    attached.close()


FAMILIES = pytest.mark.parametrize(
    ("family", "address", "recorded_family", "recorded"),
    [
        ("AF_INET", "127.0.0.1", 2, "127.0.0.1"),
        ("AF_INET6", "::1", 10, "::1"),
        ("AF_INET6", "::ffff:127.0.0.1", 2, "127.0.0.1"),
    ],
)


@FAMILIES
@pytest.mark.parametrize("connected", ["connected", "unconnected"])
def test_first_datagram_to_each_peer(
    programs: NetworkPrograms, family: str, address: str, recorded_family: int, recorded: str, connected: str
) -> None:
    """However many datagrams a socket sends to a peer, there is one record, with both ends."""
    ports = programs.run_python(
        """
        family, address, connected = globals()[sys.argv[1]], sys.argv[2], sys.argv[3] == "connected"
        for _ in range(2):
            receiver, sender = socket(family, SOCK_DGRAM), socket(family, SOCK_DGRAM)
            receiver.bind((address, 0))
            peer = receiver.getsockname()
            if connected:
                sender.connect(peer)
            for _ in range(7):
                sender.send(b"x") if connected else sender.sendto(b"x", peer)
            print(sender.getsockname()[1], peer[1])
            sender.close()
        """,
        family,
        address,
        connected,
    )
    records = programs.records()
    assert [(each.kind, each.result, each.family, each.protocol) for each in records] == [
        ("datagram", 0, recorded_family, 17)
    ] * 2
    assert [(each.peer, each.local) for each in records] == [(recorded, recorded)] * 2
    assert [str(port) for each in records for port in (each.local_port, each.peer_port)] == ports


def test_messages_of_one_call_are_told_apart(programs: NetworkPrograms) -> None:
    """sendmmsg to several peers makes one record for each of them."""
    programs.run_python(
        """
        import ctypes
        class Vector(ctypes.Structure):
            _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]
        class Message(ctypes.Structure):
            _fields_ = [("name", ctypes.c_char_p), ("name_length", ctypes.c_uint), ("vector", ctypes.POINTER(Vector)),
                        ("vectors", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                        ("flags", ctypes.c_int), ("padding", ctypes.c_int), ("sent", ctypes.c_size_t)]
        vector = Vector(b"x", 1)
        messages = (Message * 5)()
        names = [struct.pack("=HH4s8x", AF_INET, htons(5000 + i), inet_aton("127.0.0.1")) for i in range(5)]
        for message, name in zip(messages, names):
            message.name, message.name_length = name, 16
            message.vector, message.vectors = ctypes.pointer(vector), 1
        sender = socket(AF_INET, SOCK_DGRAM)
        assert ctypes.CDLL(None).sendmmsg(sender.fileno(), messages, 5, 0) == 5
        """
    )
    assert [each.peer_port for each in programs.records()] == [5000, 5001, 5002, 5003, 5004]


def test_peer_named_on_a_connected_socket_is_the_one_recorded(programs: NetworkPrograms) -> None:
    """A datagram sent elsewhere by a connected socket is not mistaken for one to its peer."""
    programs.run_python(
        """
        sender = socket(AF_INET, SOCK_DGRAM)
        sender.connect(("127.0.0.1", 5001))
        sender.sendto(b"x", ("127.0.0.1", 5002))
        """
    )
    assert [each.peer_port for each in programs.records()] == [5002]


@pytest.mark.beyond("only datagrams that reach a device are seen, and their result is not")
def test_datagram_waiting_for_its_neighbour_is_the_senders(programs: NetworkPrograms) -> None:
    """A datagram is recorded with its task even if nobody ever answers for the peer's address."""
    programs.run_python(
        """
        subprocess.run("ip link add wire type bridge && ip addr add 192.0.2.1/24 dev wire &&"
                       "ip addr add 2001:db8::1/64 dev wire nodad && ip link set wire up", shell=True, check=True)
        open("/proc/self/comm", "w").write("waiting")
        socket(AF_INET, SOCK_DGRAM).sendto(b"x", ("192.0.2.2", 53))
        connected = socket(AF_INET, SOCK_DGRAM)
        connected.connect(("192.0.2.3", 53))
        connected.send(b"x")
        socket(AF_INET6, SOCK_DGRAM).sendto(b"x", ("2001:db8::2", 53))
        """
    )
    assert [(each.peer, each.comm) for each in programs.records()] == [
        ("192.0.2.2", "waiting"),
        ("192.0.2.3", "waiting"),
        ("2001:db8::2", "waiting"),
    ]


@pytest.mark.beyond("only datagrams that reach a device are seen, and their result is not")
def test_failed_datagram_has_its_peer_and_error(programs: NetworkPrograms) -> None:
    """A send without a route is recorded once with its error, and a later success as well."""
    programs.run_python(
        """
        def attempt(sender, *address):
            try:
                sender.sendto(b"x", address)
            except OSError as error:
                return error.errno
        four, six = socket(AF_INET, SOCK_DGRAM), socket(AF_INET6, SOCK_DGRAM)
        for _ in range(3):
            assert attempt(four, "192.0.2.9", 53) == errno.ENETUNREACH
            assert attempt(six, "2001:db8::9", 53) == errno.ENETUNREACH
        subprocess.run("ip link add wire type bridge && ip addr add 192.0.2.1/24 dev wire && ip link set wire up",
                       shell=True, check=True)
        attempt(four, "192.0.2.9", 53)
        """
    )
    assert [(each.peer, each.result) for each in programs.records()] == [
        ("192.0.2.9", -errno.ENETUNREACH),
        ("2001:db8::9", -errno.ENETUNREACH),
        ("192.0.2.9", 0),
    ]


def test_corked_datagram_is_seen(programs: NetworkPrograms) -> None:
    """What leaves only when the socket is uncorked is recorded with its send."""
    programs.run_python(
        """
        sender = socket(AF_INET, SOCK_DGRAM)
        sender.setsockopt(IPPROTO_UDP, 1, 1)
        sender.sendto(b"x", ("127.0.0.1", 5003))
        sender.setsockopt(IPPROTO_UDP, 1, 0)
        """
    )
    assert [each.peer_port for each in programs.records()] == [5003]


def test_multicast_out_of_a_chosen_device_is_seen(programs: NetworkPrograms) -> None:
    """No route is looked up for it: the packet has the peer."""
    programs.run_python(
        """
        subprocess.run("ip link add wire type bridge && ip addr add 192.0.2.1/24 dev wire && ip link set wire up",
                       shell=True, check=True)
        sender = socket(AF_INET, SOCK_DGRAM)
        sender.setsockopt(IPPROTO_IP, IP_MULTICAST_IF, inet_aton("192.0.2.1"))
        sender.sendto(b"x", ("224.0.0.251", 5353))
        """
    )
    assert [(each.peer, each.peer_port) for each in programs.records()] == [("224.0.0.251", 5353)]


def test_shared_socket_tells_who_sent(programs: NetworkPrograms) -> None:
    """A socket inherited over fork: each peer's record has the task that sent to it."""
    parent, child = programs.run_python(
        """
        sender = socket(AF_INET, SOCK_DGRAM)
        sender.sendto(b"x", ("127.0.0.1", 5001))
        child = os.fork()
        if not child:
            sender.sendto(b"x", ("127.0.0.1", 5002))
            os._exit(0)
        os.waitpid(child, 0)
        print(os.getpid(), child)
        """
    )
    assert [(each.tgid, each.peer_port) for each in programs.records()] == [(int(parent), 5001), (int(child), 5002)]


@pytest.mark.parametrize("rung", [UDP, UDP_BY_PACKET], ids=["sends", "packets"])
def test_peers_add_up(rung: Capability) -> None:
    """A prime number of peers of a prime number of sockets: one record each, on both rungs."""
    assert_root()
    programs = NetworkPrograms(rung)
    try:
        programs.run_python(
            """
            for _ in range(11):
                sender = socket(AF_INET, SOCK_DGRAM)
                for _ in range(2):
                    for port in range(6000, 6101):
                        sender.sendto(b"x", ("127.0.0.1", port))
                sender.close()
            """
        )
        records = programs.records()
        assert Counter(each.peer_port for each in records) == dict.fromkeys(range(6000, 6101), 11)
        assert programs.counted("datagram") == (1111, 0)
    finally:
        programs.close()
