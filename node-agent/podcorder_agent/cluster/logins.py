"""Logins on the node, recorded into a slot of their own for the cluster policies that name Host."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

from podcorder_agent.cluster.slots import MOST_SLOTS
from podcorder_agent.control.client import ControlError, ControlUnreachable
from podcorder_agent.policies import compile_slot
from podcorder_crds import ConfiguredPolicy, SessionKind

logger = logging.getLogger(__name__)

Message = dict[str, Any]

SLOT = MOST_SLOTS
"""Behind those of containers."""
USERS = "user.slice"
"""Where systemd has the cgroups of all logins made, and no container of a pod."""


def ask_for_logins(policies: Collection[ConfiguredPolicy]) -> list[ConfiguredPolicy]:
    """The policies that do."""
    return [each for each in policies if SessionKind.HOST in each.spec.sessions]


class Control(Protocol):
    """What logins need of the control socket (`ControlClient` has it); each raises ControlError."""

    def configure(self, slot: int, settings: Message | None) -> Message: ...

    def exclude(self, cgroup_id: int, outside: bool = False) -> Message: ...

    def logins(self, slot: int | None) -> Message: ...


class Logins:
    """Holds what was asked about them of one load of the recorder's programs."""

    def __init__(self, control: Control, root: Path) -> None:
        """`root`: where the cgroup2 tree is mounted."""
        self.refused = ""
        """Why the recorder would not have them."""
        self._control = control
        self._users = root / USERS
        self._asked: Message | None = None
        self._recovered = False
        """Whether it is an earlier exporter's asking."""

    @property
    def recorded(self) -> bool:
        """Whether any policy asks for them."""
        return self._asked is not None

    def adopt(self, settings: Message | None) -> None:
        """The slot is filled already, from before a restart."""
        self._asked, self._recovered = settings, settings is not None

    def forget_all(self) -> None:
        """The recorder has begun anew and knows nothing."""
        self._asked, self._recovered, self.refused = None, False, ""

    def apply(self, policies: Collection[ConfiguredPolicy]) -> Message | None:
        """Ask for what differs; the recorder's answer where it tells of capabilities. Raises ControlUnreachable."""
        wanted = ask_for_logins(policies)
        settings = dict(compile_slot({SessionKind.HOST: wanted})) if wanted else None
        if settings == self._asked and not self._recovered:
            return None
        try:
            answer = self._ask(settings)
            self.refused = ""
        except ControlUnreachable:
            raise
        except ControlError as error:
            logger.error("The recorder refuses to record logins: %s", error)
            self.refused = f"the recorder refuses to record logins: {error}"
            answer = None
        self._asked, self._recovered = settings, False
        return answer

    def _ask(self, settings: Message | None) -> Message:
        if settings is None:
            self._control.logins(None)
            return self._control.configure(SLOT, None)
        answer = self._control.configure(SLOT, settings)
        if self._users.is_dir():
            self._control.exclude(self._users.stat().st_ino, outside=True)
        self._control.logins(SLOT)
        return answer
