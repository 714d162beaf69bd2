"""What a person is told: a sentence beside the output, and at the end of a recording what came of it."""

from __future__ import annotations

import os
import sys

import click

from podcorder_agent.cli import tables, trees
from podcorder_agent.cli.recordings import Order, Outcome
from podcorder_agent.cli.rows import quoted, to_json
from podcorder_agent.cli.sources import Journal
from podcorder_agent.cli.terminals import counted, out_style, printable
from podcorder_agent.cli.timelines import Timeline


def say(sentence: str) -> None:
    """A word to the person, beside the output."""
    click.echo(f"podcorder: {printable(sentence)}", err=True)


def stop_printing() -> None:
    """Whoever read us has seen enough; the interpreter's own flush at exit must not complain either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def report(outcome: Outcome, order: Order, output: str) -> None:
    """What was recorded: timelines or events, and where it lies."""
    journal = Journal(order.journal)
    rows = (row for row in journal.rows() if row.time >= outcome.began)
    if output == "json":
        for row in rows:
            click.echo(to_json(row))
    else:
        timeline = Timeline(rows)
        for session in timeline.sessions.values():
            if session.kind == "Setup":
                continue  # the runtime's, not the container's: `podcorder show` has it
            for line in trees.draw(timeline, session, out_style()):
                click.echo(line)
        lost = sum(row.number("podcorder.gap.count") or 0 for row in timeline.notices)
        say(f"recorded {tables.describe_kinds(timeline.kinds)}; lost {lost:,}")
    if journal.damage:
        say(journal.damage)
    if outcome.left:
        say(f"{counted(outcome.left, 'process')} of the command still running, no longer recorded")
    if outcome.unwritten is not None:
        say(f"not all is in the journal: {outcome.unwritten}")
        say(f"what is missing waits in the kernel: when that is mended, {go_on(order)} fetches it")
    elif outcome.trouble is not None:
        say(f"not all was delivered, the journal has it: {outcome.trouble}")
        say(f"when that is mended, {go_on(order)} delivers the rest")
    say(f"journal {order.journal}" + (f", OTLP {order.target}" if order.target else ""))


def go_on(order: Order) -> str:
    """The command that goes on with a recording's journal."""
    to = ["--otlp", order.target] if order.target else []
    return " ".join(map(quoted, ["podcorder", "record", "--journal", str(order.journal), *to, "--", "true"]))
