"""What a machine can lack."""

from __future__ import annotations

from podcorder_agent.errors import PodcorderError


class CgroupsMissing(PodcorderError):
    """There is no cgroup2 tree that can be used."""

    exit_code = 7
