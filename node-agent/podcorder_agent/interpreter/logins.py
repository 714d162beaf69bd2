"""Logins on the node: what stands in their records where a container would stand, as bpf/maps.bpf.h states it."""

from __future__ import annotations

from typing import NamedTuple

from podcorder_agent.interpreter.subjects import Container, Identity, Session

_LOGIN = 1 << 63
_SESSION_BITS = 31


class Login(NamedTuple):
    """An audit session."""

    uid: int
    """The login uid: who logged in, whatever user a process became since."""
    audit_session: int
    """Its number, which the kernel counts from 1; 0: not known."""


def read_login(container_id: int) -> Login | None:
    """The login that a container's id stands for; None for a real one."""
    if not container_id & _LOGIN:
        return None
    return Login(container_id >> _SESSION_BITS & 0xFFFFFFFF, container_id & ((1 << _SESSION_BITS) - 1))


def make_place(container_id: int, login: Login, slot: int) -> Container:
    """What stands for a login's container: no attribute of one, but a policy may be named."""
    return Container(container_id, f"login of user {login.uid}, audit session {login.audit_session}", slot=slot)


def identify(session: Session, doubted: bool) -> None:
    """Say who a login's session is of. In doubt, the user is named as a candidate only."""
    login = read_login(session.container.cgroup_id)
    if login is None or not login.audit_session:
        return
    if doubted:
        session.identity, session.candidates = Identity.AMBIGUOUS, [str(login.uid)]
    else:
        session.identity, session.user_id, session.user_name = Identity.IDENTIFIED, str(login.uid), str(login.uid)
