"""What takes secrets out of command lines, alike in the agent and in the operator. Pure."""

from podcorder_redaction.patterns import Pattern
from podcorder_redaction.redaction import Redaction

__all__ = ["Pattern", "Redaction"]
