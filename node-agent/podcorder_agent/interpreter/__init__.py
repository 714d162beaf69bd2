"""From frames to events: decode, sessions, containers, gaps, redaction. Pure: no clock, no I/O."""

from podcorder_agent.interpreter.containers import Recognised, recognise
from podcorder_agent.interpreter.events import Event
from podcorder_agent.interpreter.interpreter import Interpreter
from podcorder_redaction import Redaction

__all__ = ["Event", "Interpreter", "Recognised", "Redaction", "recognise"]
