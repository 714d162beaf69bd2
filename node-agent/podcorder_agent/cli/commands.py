"""The command line."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from podcorder_agent import __version__
from podcorder_agent.cli import doctors, filters, recordings, sources, tables, trees
from podcorder_agent.cli.children import Unstartable
from podcorder_agent.cli.errors import MachineUnfit, NothingSelected, NotRoot, SessionAmbiguous, SessionUnknown
from podcorder_agent.cli.halves import EXPORT
from podcorder_agent.cli.identities import Identities
from podcorder_agent.cli.options import (
    Text,
    filter_options,
    level_option,
    loader_option,
    output_option,
    ring_size,
    session_option,
    source_options,
    user_option,
)
from podcorder_agent.cli.reports import report, say, stop_printing
from podcorder_agent.cli.rows import Row, dump, to_json
from podcorder_agent.cli.sources import Journal, OtlpFile
from podcorder_agent.cli.terminals import counted, out_style, style_of
from podcorder_agent.cli.timelines import Session, Timeline
from podcorder_agent.delivery.file import FileTransport
from podcorder_agent.delivery.settings import FILE, read_settings
from podcorder_agent.delivery.tls import TlsFiles
from podcorder_agent.errors import PodcorderError
from podcorder_agent.policies import EVERYTHING, load, without_effect
from podcorder_crds import SessionKind

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT")
EXPORT_NAME = f"{EXPORT}/events.otlp.jsonl"


class Program(click.Group):
    """All commands; a reader that went away is none of click's business, which would make it exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            stop_printing()
            return 0


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every error has an exit code of its own: docs/exit-codes.md. More: docs/ and README.md.",
)
@click.version_option(__version__, prog_name="podcorder")
def podcorder() -> None:
    """The flight recorder: who ran what, on which files, to which peers, from the kernel's own account.

    \b
    Try it (as root):
      podcorder doctor                       can this machine record?
      podcorder record                       record a shell; exit it to see what happened
      podcorder record -- make install       record one command
      podcorder record --policy etc.yaml     record what a policy selects, such as containers
    \b
    And look at it later:
      podcorder sessions                     the sessions of the newest recording
      podcorder show 5f0c                    one of them as a tree
      podcorder events --kind file --path /etc/ --output json
    """


@podcorder.command()
@click.option(
    "--policy", type=click.Path(path_type=Path), metavar="FILE", help="What to record: a SessionRecordingPolicy."
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"Where to keep the journal, which may have one already; default is a new directory in {sources.RECORDINGS}.",
)
@click.option(
    "--otlp",
    metavar="URL|FILE",
    help="Collector or file to deliver to; default is OTEL_EXPORTER_OTLP_ENDPOINT, else a file in the journal.",
)
@click.option(
    "--ring-size", type=Text("size", ring_size), metavar="BYTES", help="Size of the kernel's ring, such as 8M."
)
@loader_option
@level_option("--trace", "A debug build, slow, whose programs write log lines: see podcorder doctor --trace.")
@output_option
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def record(
    policy: Path | None,
    journal: Path | None,
    otlp: str | None,
    ring_size: int | None,
    loader: str,
    trace: str | None,
    output: str,
    command: tuple[str, ...],
) -> int:
    """Record a command and all it starts, and print its timeline.

    The exit code is the command's own. Without a COMMAND it is your shell; with a policy that names the session kind
    Container it is every container of this machine, until Ctrl-C.

    \b
    Examples:
      podcorder record -- sh -c 'curl -s http://10.0.0.1/x | sh'
      podcorder record --otlp http://localhost:4318 -- ./deploy.sh
      podcorder record --policy examples/containers.yaml
    """
    chosen = load(policy) if policy is not None else EVERYTHING
    if os.geteuid() != 0:
        raise NotRoot("recording needs root: run it with sudo")
    if not command and SessionKind.CONTAINER not in chosen.spec.sessions:
        if "sessions" in chosen.spec.model_fields_set:
            raise NothingSelected(
                f"the policy {chosen.name} selects nothing here: give a COMMAND, or add Container to its sessions"
            )
        command = (os.environ.get("SHELL") or "/bin/sh",)
    for sentence in without_effect(chosen.spec):
        say(f"note: {sentence}")
    if trace:
        say("note: a debug build, which is slow: podcorder doctor --trace shows its log lines")
    if journal is None:
        sources.RECORDINGS.mkdir(mode=0o711, parents=True, exist_ok=True)
        journal = sources.RECORDINGS / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}"
    target = prepare_target(otlp, journal)
    order = recordings.Order(chosen, journal, target, ring_size, loader, trace or "", command)
    try:
        outcome = recordings.Recording(order, say, style_of(sys.stderr)).run()
    except Unstartable as error:
        say(str(error))
        return error.exit_code
    try:
        report(outcome, order, output)
    except BrokenPipeError:
        stop_printing()
    return outcome.exit_code


def prepare_target(otlp: str | None, journal: Path) -> str | None:
    """Where the exporter shall deliver to, checked before anything starts. Raises a DeliveryError."""
    if otlp is None and not any(os.environ.get(name, "").strip() for name in ENDPOINTS):
        return str(journal.absolute() / EXPORT_NAME)
    settings = read_settings(os.environ, otlp)
    if settings.protocol == FILE and settings.file is not None:
        path = settings.file.absolute()
        FileTransport(path).close()
        return str(path)
    if settings.certificate or settings.client_certificate:
        TlsFiles(settings).make_context()
    return otlp


def open_source(journal: Path | None, otlp: Path | None) -> Journal | OtlpFile:
    """What to read from. Raises PodcorderError."""
    if journal is not None and otlp is not None:
        raise click.UsageError("give --journal or --otlp, not both")
    return OtlpFile(otlp) if otlp is not None else Journal(journal or sources.newest_recording())


def mention_missing(source: Journal | OtlpFile) -> None:
    if source.damage:
        say(source.damage)
    if source.withheld:
        say(f"{counted(source.withheld, 'record')} withheld: no policy asks for them")


@podcorder.command()
@source_options
@session_option
@user_option
@filter_options
@click.option("--follow", "-f", is_flag=True, help="Go on with each event as it comes.")
@output_option
def events(
    journal: Path | None,
    otlp: Path | None,
    user: str,
    follow: bool,
    output: str,
    path: Any,
    peer: Any,
    **wanted: Any,
) -> None:
    """List events, one a line.

    \b
    Examples:
      podcorder events --kind process.exec
      podcorder events --path '/etc/*.conf' --since 15m
      podcorder events --user alice@example.org --kind process.exec
      podcorder events --peer 10.0.0.0/8 --output json | jq -r '.["network.peer.address"]'
    """
    chosen = filters.Filter(path=path, peer=peer, **wanted)
    source = open_source(journal, otlp)
    # With a user the whole is read beforehand: who it was may be told later than what was done.
    identities = Identities()
    for row in source.reopened().rows() if user and not follow else ():
        identities.add(row)
    rows: Iterator[Row] = source.follow() if follow else source.rows()
    show = to_json if output == "json" else tables.EventTable(out_style()).line
    for row in rows:
        if user:
            identities.add(row)
        if chosen.wants(row) and (not user or identities.may_concern(row, user)):
            click.echo(show(row))
    mention_missing(source)


@podcorder.command()
@source_options
@session_option
@user_option
@filter_options
@output_option
def sessions(
    journal: Path | None, otlp: Path | None, user: str, output: str, path: Any, peer: Any, **wanted: Any
) -> None:
    """List sessions, with filters those with such events.

    USER, where there is anything to say: who asked for the session; (Ambiguous) and those of whom it may be; (Pending):
    nothing says who, yet; (Unannounced): nobody asked the API server for it; (attached) and who is, to the container.

    \b
    Examples:
      podcorder sessions
      podcorder sessions --path /etc/shadow
      podcorder sessions --user alice@example.org --since 24h
    """
    chosen = filters.Filter(path=path, peer=peer, **wanted)
    source = open_source(journal, otlp)
    timeline, fitting = Timeline(), set()
    for row in source.rows():
        timeline.add(row)
        if chosen.wants(row):
            fitting.add(row.text("podcorder.session.id"))
    found = [
        each
        for each in timeline.sessions.values()
        if each.id in fitting and (not user or timeline.identities.may_be(each.id, user))
    ]
    if output == "json":
        for session in found:
            click.echo(dump(tables.session_object(timeline, session)))
    else:
        for line in tables.session_table(timeline, found, out_style()):
            click.echo(line)
    mention_missing(source)


@podcorder.command()
@click.argument("session")
@source_options
@filter_options
@output_option
def show(
    session: str, journal: Path | None, otlp: Path | None, output: str, path: Any, peer: Any, **wanted: Any
) -> None:
    """Show one session as a tree of processes.

    Files and peers stand under each process, and gaps in their place.

    SESSION is its id, or as much of its beginning as tells it from the others.

    \b
    Examples:
      podcorder show 5f0c
      podcorder show 5f0c --kind network
    """
    source = open_source(journal, otlp)
    rows = list(source.rows())
    timeline = Timeline(rows)
    found = find_session(timeline, session)
    chosen = filters.Filter(session=found.id, path=path, peer=peer, **wanted)
    if output == "json":
        for row in rows:
            if chosen.wants(row):
                click.echo(to_json(row))
    else:
        drawn = Timeline(row for row in rows if keeps_tree(row) or chosen.wants(row))
        drawn.identities = timeline.identities
        for line in trees.draw(drawn, drawn.sessions[found.id], out_style()):
            click.echo(line)
    mention_missing(source)


def keeps_tree(row: Row) -> bool:
    """Whether the tree's shape needs a row, whatever is filtered out of it."""
    return not row.kind.startswith(("file.", "network.")) and row.kind != "process.exec_failed"


def find_session(timeline: Timeline, identity: str) -> Session:
    """The session whose id begins so. Raises SessionUnknown and SessionAmbiguous."""
    found = [each for each in timeline.sessions.values() if each.id.startswith(identity.lower())]
    if not found:
        raise SessionUnknown(f"there is no session {identity} there: podcorder sessions lists those there are")
    if len(found) > 1:
        raise SessionAmbiguous(f"{len(found)} sessions begin with {identity}: write more of the id")
    return found[0]


@podcorder.command()
@click.option("--clean", is_flag=True, help="Remove what recordings that were killed left behind.")
@click.option("--trace", is_flag=True, help="Show the log lines of debug builds at work here, until Ctrl-C.")
@level_option("--level", "Of log lines, only those of this level and the graver ones.")
@loader_option
@output_option
def doctor(clean: bool, trace: bool, level: str | None, loader: str, output: str) -> None:
    """Say what this machine can record, and how to mend the rest.

    Each rung of each capability is loaded and attached for real.

    \b
    Why is something not recorded?
      podcorder record --trace debug        in one terminal
      podcorder doctor --trace              in another
    """
    if trace and clean:
        raise click.UsageError("give --trace or --clean, not both")
    if level and not trace:
        raise click.UsageError("--level goes with --trace")
    if trace:
        return doctors.follow_trace(level, output, out_style())
    found = doctors.examine(loader, clean=clean)
    if output == "json":
        click.echo(json.dumps(found))
    else:
        for line in doctors.draw(found, out_style()):
            click.echo(line)
    if not found["able"]:
        raise MachineUnfit("this machine cannot record everything: see what is to do above")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; every error is one line on stderr and an exit code of its own."""
    try:
        code = podcorder.main(args=arguments, prog_name="podcorder", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except PodcorderError as error:
        say(str(error))
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        say(f"{error.format_message().rstrip('.')}: see {context.command_path if context else 'podcorder'} --help")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        stop_printing()
        return 0
