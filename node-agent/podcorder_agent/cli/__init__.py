"""The command line: podcorder record | events | sessions | show | doctor."""

from podcorder_agent.cli.commands import main

__all__ = ["main"]
