"""What is measured of the following of a cluster, beside what every exporter tells of."""

from __future__ import annotations

from collections.abc import Mapping

from podcorder_agent.cluster.announcer import Announcer
from podcorder_agent.cluster.api import Api
from podcorder_agent.cluster.follower import Follower
from podcorder_agent.cluster.leases import Heartbeat
from podcorder_agent.cluster.record_writer import RecordWriter
from podcorder_agent.cluster.slots import MOST_SLOTS
from podcorder_agent.cluster.streams import Stream
from podcorder_agent.delivery.metrics import Attribute, Measure, Metric

CONTAINERS = Metric(
    "podcorder.node.containers",
    "{container}",
    "Containers of the node.",
    (
        Attribute(
            "podcorder.container.state",
            "recorded, waiting (held until it is known whose they are) or excluded (sandboxes, and what no policy "
            "selects).",
        ),
    ),
    gauge=True,
)
SLOTS = Metric(
    "podcorder.node.slots",
    "{slot}",
    f"Slots of the kernel half that are used, one for each combination of policies; there are {MOST_SLOTS}.",
    gauge=True,
)
API_ERRORS = Metric(
    "podcorder.api.errors",
    "{request}",
    "Requests to the API server that failed.",
    (Attribute("error.type", "The HTTP status, or no_answer."),),
)
WATCH_AGE = Metric(
    "podcorder.watch.age",
    "s",
    "Since the API server last told or confirmed anything.",
    (Attribute("podcorder.watch.collection", "pods, config or sessions."),),
    gauge=True,
)
LEASE_AGE = Metric("podcorder.lease.age", "s", "Since the agent's Lease was last renewed.", gauge=True)
ANNOUNCED = Metric(
    "podcorder.sessions.announced", "{session}", "Sessions that the journal was told somebody has asked for."
)
RECORD_WRITES = Metric(
    "podcorder.sessions.writes", "{request}", "Writes of records of sessions that the API server took."
)
RECORDS_WAITING = Metric(
    "podcorder.sessions.waiting", "{session}", "Sessions whose record has still to be written.", gauge=True
)
RECORDS_DROPPED = Metric(
    "podcorder.sessions.dropped",
    "{session}",
    "Sessions whose record was left as it was: the API server refused it, or too many waited.",
)

METRICS = (
    CONTAINERS,
    SLOTS,
    API_ERRORS,
    WATCH_AGE,
    LEASE_AGE,
    ANNOUNCED,
    RECORD_WRITES,
    RECORDS_WAITING,
    RECORDS_DROPPED,
)


def measure_following(
    api: Api,
    follower: Follower,
    announcer: Announcer,
    writer: RecordWriter,
    heartbeat: Heartbeat,
    streams: Mapping[str, Stream],
) -> list[Measure]:
    """`streams`: by the name of what each follows."""

    def count_containers() -> Mapping[tuple[str, ...], float]:
        found = follower.count_containers()
        return {(state,): found[state] for state in ("recorded", "waiting", "excluded")}

    return [
        Measure(CONTAINERS, count_containers),
        Measure(SLOTS, lambda: {(): follower.slots_used}),
        Measure(API_ERRORS, lambda: {(kind,): count for kind, count in tuple(api.errors.items())}),
        Measure(WATCH_AGE, lambda: {(name,): stream.age for name, stream in streams.items()}),
        Measure(LEASE_AGE, lambda: {(): heartbeat.age}),
        Measure(ANNOUNCED, lambda: {(): announcer.told}),
        Measure(RECORD_WRITES, lambda: {(): writer.written}),
        Measure(RECORDS_WAITING, lambda: {(): writer.waiting}),
        Measure(RECORDS_DROPPED, lambda: {(): writer.dropped}),
    ]
