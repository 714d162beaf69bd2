"""Policy files: read, checked with a line number for what is wrong, and compiled to what a slot takes."""

from podcorder_agent.policies.errors import PolicyInvalid, PolicyUnreadable
from podcorder_agent.policies.files import EVERYTHING, Policy, load
from podcorder_agent.policies.settings import Settings, compile_settings, without_effect
from podcorder_agent.policies.slots import SlotSettings, compile_slot, describe_policies

__all__ = [
    "EVERYTHING",
    "Policy",
    "PolicyInvalid",
    "PolicyUnreadable",
    "Settings",
    "SlotSettings",
    "compile_settings",
    "compile_slot",
    "describe_policies",
    "load",
    "without_effect",
]
