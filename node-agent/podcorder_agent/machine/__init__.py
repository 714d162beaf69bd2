"""One plain machine: its containers found by their cgroups, and a cgroup for the command that is recorded."""

from podcorder_agent.machine.cgroups import CommandCgroup, unified_mount
from podcorder_agent.machine.errors import CgroupsMissing
from podcorder_agent.machine.selectors import ContainerSelector

__all__ = ["CgroupsMissing", "CommandCgroup", "ContainerSelector", "unified_mount"]
