"""The command line: podcorder record | events | sessions | show | doctor."""

from __future__ import annotations


def main(arguments: list[str] | None = None) -> int:
    """The program; Ctrl-C while it is still being loaded is no error either."""
    try:
        from podcorder_agent.cli import commands
    except KeyboardInterrupt:
        return 130
    return commands.main(arguments)
