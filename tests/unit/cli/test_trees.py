from __future__ import annotations

import re
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cli import tables, trees
from podcorder_agent.cli.rows import Row, Value
from podcorder_agent.cli.terminals import Style
from podcorder_agent.cli.timelines import Timeline

SESSION = "5f0c" * 8
SECOND = 10**9
START = 1_700_000_000 * SECOND


def row(kind: str, pid: int | None, after: int = 0, ppid: int | None = None, **attributes: Value) -> Row:
    """A row of the one session, `after` ms after its start; attributes with __ for the dot."""
    found: dict[str, Value] = {name.replace("__", "."): value for name, value in attributes.items()}
    if pid is not None:
        found |= {"process.pid": pid, "podcorder.session.id": SESSION, "podcorder.session.kind": "Command"}
    if ppid is not None:
        found["process.parent_pid"] = ppid
    return Row(f"podcorder.{kind}", START + after * 10**6, "", found)


def ran(pid: int, ppid: int, *arguments: str | bytes, after: int = 0) -> Row:
    return row("process.exec", pid, after, ppid, process__command_args=list(arguments))


def ended(pid: int, code: int, after: int) -> Row:
    return row("process.exit", pid, after, process__exit__code=code, podcorder__process__duration_ns=SECOND)


def drawn(*rows: Row, unicode: bool = False) -> list[str]:
    timeline = Timeline(rows)
    (session,) = timeline.sessions.values()
    text = list(trees.draw(timeline, session, Style(unicode=unicode)))
    return [re.sub(r"\d\d:\d\d:\d\d\.", "", line) for line in text[1:]]


def story() -> Iterator[Row]:
    yield row("session.start", 10, ppid=1)
    yield ran(10, 1, "sh", "-c", "curl http://x | sh")
    yield row("process.fork", 10, 1, 1, podcorder__child__pid=11)
    yield ran(11, 10, "curl", "http://x", after=2)
    yield row("file.open", 11, 3, 10, file__path="/etc/hosts", podcorder__file__access="read")
    yield row("file.open", 11, 3, 10, file__path="/etc/hosts", podcorder__file__access="read")
    yield row(
        "network.connect", 11, 4, 10, network__peer__address="10.0.0.1", network__peer__port=80,
        podcorder__network__outcome="established",
    )  # fmt: skip
    yield ended(11, 0, 5)
    yield row(
        "recording.gap", None, 6, podcorder__gap__class="open", podcorder__gap__reason="ring_full",
        podcorder__gap__count=1203,
    )  # fmt: skip
    yield ran(12, 10, "rm", "a b\n", after=7)
    yield row("process.exit", 12, 8, podcorder__process__signal="SIGKILL")
    yield ended(10, 3, 9)
    yield row("session.end", 10, 9, process__exit__code=3)


def test_a_session_is_a_tree_with_files_peers_and_gaps_in_place() -> None:
    """Processes under their parents, what they did under each, and what was lost where it was lost."""
    assert drawn(*story()) == [
        "`- 000 sh -c 'curl http://x | sh'  [10] exit 3 9 ms",
        "   |- 001 curl http://x  [11] exit 0 1 s",
        "   |     connect 10.0.0.1:80 established",
        "   |     read /etc/hosts x2",
        "   |- 006 GAP 1,203 open records lost (ring_full)",
        "   `- 007 rm $'a b\\n'  [12] SIGKILL",
    ]


def test_lines_are_drawn_where_they_can_be() -> None:
    """Box-drawing characters on a UTF-8 terminal."""
    assert [line.split(" ")[0] for line in drawn(*story(), unicode=True)[:1]] == ["└─"]


def test_the_header_sums_up() -> None:
    """Id, kind, when, how long, how it ended, how much."""
    timeline = Timeline(story())
    (session,) = timeline.sessions.values()
    header = next(trees.draw(timeline, session, Style()))
    assert header.startswith(f"session {SESSION}  Command  ")
    assert header.endswith("  9 ms  exit 3  3 processes, 12 events")


def test_a_container_of_a_pod_is_named_by_its_place() -> None:
    """Namespace, pod and container, in the header, in the table and in JSON."""
    place = {"k8s.namespace.name": "shop", "k8s.pod.name": "web-1", "k8s.container.name": "app", "container.id": "a"}
    told = ran(1, 0, "sh")
    told.attributes |= place
    timeline = Timeline([told])
    (session,) = timeline.sessions.values()
    assert "  shop/web-1/app  " in next(trees.draw(timeline, session, Style()))
    assert "  shop/web-1/app  " in list(tables.session_table(timeline, [session], Style()))[1]
    assert session.container == "shop/web-1/app"


def test_a_pid_used_again_is_another_process() -> None:
    """After its end a pid names a new process."""
    lines = drawn(
        ran(10, 1, "sh"), ran(11, 10, "a", after=1), ended(11, 0, 2), ran(11, 10, "b", after=3), ended(11, 1, 4)
    )
    assert [line.split("  ")[-1] for line in lines] == ["[10]", "[11] exit 0 1 s", "[11] exit 1 1 s"]


def test_a_child_heard_of_before_its_fork_finds_its_parent() -> None:
    """CPUs are drained one after another: a tree does not depend on their order."""
    fork = row("process.fork", 10, 1, 1, podcorder__child__pid=11)
    child = row("file.open", 11, 2, 1, file__path="/a", podcorder__file__access="read")
    expected = drawn(ran(10, 1, "sh"), fork, child)
    assert drawn(ran(10, 1, "sh"), child, fork)[0] == expected[0]
    assert drawn(ran(10, 1, "sh"), child, fork)[-1] == expected[-1] == "         read /a"


def test_a_crowd_is_counted() -> None:
    """Of many children of one program some are shown and the rest summed up, so that nothing is left out unsaid."""
    rows = [ran(1, 0, "make")]
    for pid in range(100, 200):
        rows += [ran(pid, 1, "/bin/true", after=pid), ended(pid, pid % 2, pid)]
    lines = drawn(*rows)
    assert len(lines) == 1 + trees.SHOWN + 1
    assert lines[-1] == "   `- ... 97 more of /bin/true: exit 1 x49, exit 0 x48"


def test_many_files_are_grouped_by_directory() -> None:
    """Many files become at most a few lines whose counts add up to all of them."""
    rows = [ran(1, 0, "find")]
    for number in range(500):
        path = f"/usr/share/doc/p{number % 50}/f{number}"
        rows.append(row("file.open", 1, 1, 0, file__path=path, podcorder__file__access="read"))
    rows.append(row("file.open", 1, 1, 0, file__path="/etc/passwd", podcorder__file__access="read"))
    assert drawn(*rows)[1:] == ["      read /etc/passwd", "      read 500 files in /usr/share/doc/"]


def test_a_search_along_path_is_one_line() -> None:
    """A program looked for in many directories is told once, with how often."""
    rows = [ran(1, 0, "env")]
    for place in ("/usr/local/bin", "/usr/bin", "/bin"):
        rows.append(row("process.exec_failed", 1, 1, 0, error__type="ENOENT", podcorder__exec__filename=f"{place}/nc"))
    assert drawn(*rows)[1:] == ["      exec failed ENOENT nc in 3 directories x3"]


def test_more_than_can_be_remembered_is_counted() -> None:
    """A process that opens more files than are remembered apart says how many more."""
    rows = [ran(1, 0, "find")]
    rows += [row("file.open", 1, 1, 0, file__path=f"/d/{n}", podcorder__file__access="read") for n in range(5000)]
    lines = drawn(*rows)
    assert lines[-1] == "      ... and 904 more events of other files and peers"


def test_a_deep_chain_ends_with_a_count() -> None:
    """A chain of thousands of processes is drawn to a depth and counted below it."""
    rows = [ran(pid, pid - 1, "sh", after=pid) for pid in range(1, 5001)]
    lines = drawn(*rows)
    assert lines[-1].endswith(f"{5000 - trees.DEEPEST - 1:,} processes deeper")


attribute_names = st.sampled_from(
    ["process.pid", "process.parent_pid", "podcorder.child.pid", "process.command_args", "file.path",
     "podcorder.session.id", "podcorder.gap.count", "podcorder.gap.first", "network.peer.port", "process.exit.code",
     "podcorder.identity", "user.name", "podcorder.session.candidates", "podcorder.attach.users",
     "podcorder.process.duration_ns", "podcorder.process.comm", "network.peer.address", "podcorder.finding.message"]
)  # fmt: skip
values = st.integers(0, 3) | st.text(max_size=5) | st.binary(max_size=5) | st.lists(st.binary(max_size=3), max_size=3)
kinds = st.sampled_from(["process.exec", "process.fork", "process.exit", "file.open", "network.accept", "session.start",
                         "session.end", "recording.gap", "finding", "network.connect",
                         "session.identified", "something.new"])  # fmt: skip


@given(st.lists(st.tuples(kinds, st.integers(0, 2**70), st.dictionaries(attribute_names, values)), max_size=12))
def test_any_rows_can_be_drawn_on_lines_of_their_own(found: list[tuple[str, int, dict[str, Value]]]) -> None:
    """Whatever an OTLP file holds, the timeline and tables show it without raising, each line printable."""
    rows = [Row(f"podcorder.{kind}", time, "", attributes) for kind, time, attributes in found]
    timeline = Timeline(rows)
    lines = [line for each in timeline.sessions.values() for line in trees.draw(timeline, each, Style())]
    lines += tables.session_table(timeline, list(timeline.sessions.values()), Style())
    assert all(line.isprintable() for line in lines)


def test_a_connect_that_ends_after_its_process_is_still_its_own() -> None:
    """The outcome of a connect may come behind the exit, and makes no process of its own."""
    late = row("network.connect", 10, 3, 1, network__peer__address="10.0.0.1", network__peer__port=80)
    timeline = Timeline([ran(10, 1, "nc", "-z"), ended(10, 0, 2), late])
    (session,) = timeline.sessions.values()
    assert session.processes == 1
