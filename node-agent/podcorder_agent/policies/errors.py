"""What can be wrong with a policy file."""

from __future__ import annotations

from podcorder_agent.errors import PodcorderError


class PolicyUnreadable(PodcorderError):
    """The policy file cannot be read."""

    exit_code = 3


class PolicyInvalid(PodcorderError):
    """The policy file says something that cannot be meant: the sentence names the line."""

    exit_code = 4
