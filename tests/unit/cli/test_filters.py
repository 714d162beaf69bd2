from __future__ import annotations

import pytest

from podcorder_agent.cli.filters import Filter, parse_kind, parse_moment, parse_path, parse_peer
from podcorder_agent.cli.rows import Row, Value

SECOND = 10**9


def row(kind: str = "file.open", time: int = 5, **attributes: Value) -> Row:
    return Row(f"podcorder.{kind}", time, "", {name.replace("__", "."): value for name, value in attributes.items()})


def test_kinds_are_names_and_groups() -> None:
    """A kind may be written with or without our prefix, and a group takes all of its kinds."""
    assert Filter(kinds=(parse_kind("podcorder.file.open"),)).wants(row("file.open"))
    assert not Filter(kinds=(parse_kind("file.open"),)).wants(row("file.open_failed"))
    assert Filter(kinds=(parse_kind("file"), parse_kind("network"))).wants(row("file.open_failed"))
    with pytest.raises(ValueError, match=r"no kind of event: one of process, file"):
        parse_kind("open")


def test_paths_are_prefixes_or_patterns() -> None:
    """Without wildcards a path is a prefix, with them a pattern for the whole; an exec's program counts as well."""
    opened = row(file__path="/etc/ssl/x.conf")
    assert Filter(path=parse_path("/etc/")).wants(opened)
    assert not Filter(path=parse_path("/tmp")).wants(opened)
    assert Filter(path=parse_path("/etc/*.conf")).wants(opened)
    assert not Filter(path=parse_path("/etc/*.con")).wants(opened)
    ran = row("process.exec", process__executable__path="/usr/bin/nc")
    assert Filter(path=parse_path("/usr/bin/nc")).wants(ran)
    # The program that opens a file is not the file.
    assert not Filter(path=parse_path("/usr/bin/nc")).wants(row(process__executable__path="/usr/bin/nc"))


def test_a_path_that_is_not_utf8_can_be_matched() -> None:
    """Bytes take part in patterns as they stand."""
    assert Filter(path=parse_path("/tmp/*.x")).wants(row(file__path=b"/tmp/\xff.x"))


def test_peers_are_networks_of_both_families() -> None:
    """An address matches its network, IPv4 also where it is written as IPv6; events without a peer match none."""
    chosen = Filter(peer=parse_peer("10.0.0.0/8"))
    assert chosen.wants(row("network.connect", network__peer__address="10.1.2.3"))
    assert chosen.wants(row("network.connect", network__peer__address="::ffff:10.1.2.3"))
    assert not chosen.wants(row("network.connect", network__peer__address="2001:db8::1"))
    assert not chosen.wants(row("network.connect", network__peer__address="odd"))
    assert not chosen.wants(row())
    assert Filter(peer=parse_peer("2001:db8::1")).wants(row(network__peer__address="2001:db8::1"))
    with pytest.raises(ValueError, match=r"write 10\.1\.2\.3 or"):
        parse_peer("localhost")


def test_time_is_from_until() -> None:
    """Since is the first to show, until the first not to show."""
    chosen = Filter(since=5, until=7)
    assert [chosen.wants(row(time=time)) for time in (4, 5, 6, 7)] == [False, True, True, False]


def test_sessions_by_the_beginning_of_their_id() -> None:
    """As much of an id as one likes; an event without a session is in none."""
    chosen = Filter(session="ab")
    assert chosen.wants(row(podcorder__session__id="abcd"))
    assert not chosen.wants(row(podcorder__session__id="cdab"))
    assert not chosen.wants(row())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", 99_100 * SECOND),
        ("2h ago", 92_800 * SECOND),
        ("1970-01-02T00:00:00Z", 86_400 * SECOND),
        ("1970-01-02T00:00:00.000000001Z", 86_400 * SECOND + 1),
        ("1970-01-02T02:00:00.5+02:00", 86_400 * SECOND + SECOND // 2),
    ],
)
def test_moments(text: str, expected: int) -> None:
    """Times are relative or ISO 8601, exact to the nanosecond."""
    assert parse_moment(text, now=100_000.0) == expected


def test_a_moment_that_is_none_is_refused() -> None:
    """The message shows how a time is written."""
    with pytest.raises(ValueError, match="write 15m"):
        parse_moment("yesterday")
