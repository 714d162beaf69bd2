"""Options that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from podcorder_agent.cli import filters, sources
from podcorder_agent.loaders import LOADERS, TRACE_LEVELS

Command = TypeVar("Command", bound=Callable[..., Any])


class Text(click.ParamType[Any]):
    """A parameter that a function of `filters` understands."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def ring_size(text: str) -> int:
    """Bytes from `8M`. Raises ValueError."""
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    size = int(number) * unit if number.isdigit() else 0
    if size < 4096 or size & (size - 1) or size > 1 << 30:
        raise ValueError(f"{text!r} is no size of a ring: write a power of two from 4K to 1G, such as 8M")
    return size


loader_option = click.option(
    "--loader",
    type=click.Choice(LOADERS),
    default="auto",
    show_default=True,
    help="Programs from objects compiled beforehand (core), or compiled here by bcc.",
)
output_option = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or one JSON object a line.",
)


def source_options(command: Command) -> Command:
    """--journal and --otlp, of which one says where to read from."""
    for option in (
        click.option("--otlp", type=click.Path(path_type=Path), metavar="FILE", help="Read OTLP JSON lines instead."),
        click.option(
            "--journal",
            type=click.Path(path_type=Path),
            metavar="DIR",
            help=f"The journal to read; default is the newest in {sources.RECORDINGS}.",
        ),
    ):
        command = option(command)
    return command


def filter_options(command: Command) -> Command:
    """What to show."""
    for option in (
        click.option("--until", type=Text("time", filters.parse_moment), metavar="TIME", help="Only before this time."),
        click.option(
            "--since", type=Text("time", filters.parse_moment), metavar="TIME", help="Only from: 15m, 2026-01-31T12:00."
        ),
        click.option("--peer", type=Text("peer", filters.parse_peer), metavar="CIDR", help="Only with this peer."),
        click.option(
            "--path", type=Text("path", filters.parse_path), metavar="PREFIX|GLOB", help="Only files or programs there."
        ),
        click.option(
            "--kind",
            "kinds",
            multiple=True,
            type=Text("kind", filters.parse_kind),
            metavar="KIND",
            help=f"Only this kind, such as file.open, or group: {', '.join(filters.GROUPS)}. May be repeated.",
        ),
    ):
        command = option(command)
    return command


session_option = click.option("--session", default="", metavar="ID", help="Only this session; its beginning will do.")


user_option = click.option(
    "--user", default="", metavar="NAME", help="Only of sessions that are this user's, or may be; the whole name."
)


def level_option(name: str, help: str) -> Callable[[Command], Command]:
    """A level of a debug build's log lines."""
    return click.option(name, type=click.Choice(TRACE_LEVELS), metavar="|".join(TRACE_LEVELS), help=help)
