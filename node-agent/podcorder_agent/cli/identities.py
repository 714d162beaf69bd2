"""Whose sessions are, as rows tell it: the events of a session may be older than what is known of it."""

from __future__ import annotations

from podcorder_agent.cli.rows import Row, Value
from podcorder_agent.delivery.renderings import quote_all, show_identity
from podcorder_agent.interpreter.subjects import Identity, SessionKind

IDENTIFIED = "session.identified"
"""The event whose attributes hold for its whole session, whatever events before it say."""

_IDENTITY, _USER, _CANDIDATES = "podcorder.identity", "user.name", "podcorder.session.candidates"
_ATTACHED = "podcorder.attach.users"
ATTRIBUTES = (
    _USER,
    "user.id",
    "podcorder.user.groups",
    _IDENTITY,
    _CANDIDATES,
    "podcorder.session.record",
    "podcorder.request.id",
    _ATTACHED,
)
"""What may be known of whose a session is."""


class Identities:
    """The row of each session that tells best whose it is: the last that identifies it, else the last of all."""

    def __init__(self) -> None:
        self._tellers: dict[str, Row] = {}

    def add(self, row: Row) -> None:
        session = row.text("podcorder.session.id")
        if session is None or not (_IDENTITY in row.attributes or _is_attached(row)):
            return
        known = self._tellers.get(session)
        if known is None or _rank(row) >= _rank(known):
            self._tellers[session] = row

    def attributes_of(self, session: str) -> dict[str, Value]:
        """Those of ATTRIBUTES that are known; none where nobody is to be named, as of a probe."""
        teller = self._tellers.get(session)
        return {} if teller is None else {name: value for name in ATTRIBUTES if (value := teller.attributes.get(name))}

    def show(self, session: str) -> str:
        """One word for the user, quoted, or ours in brackets before those that it may be; else nothing."""
        teller = self._tellers.get(session)
        if teller is None:
            return ""
        identity = teller.word(_IDENTITY)
        if identity is None:
            return f"(attached) {quote_all(teller.words(_ATTACHED))}"
        return show_identity(identity, teller.text(_USER), teller.words(_CANDIDATES))

    def may_concern(self, row: Row, user: str) -> bool:
        """Whether an event is of a session that is, or may be, this user's; or of a request of theirs."""
        session = row.text("podcorder.session.id")
        if session is None or (_USER in row.attributes and _IDENTITY not in row.attributes):
            return row.text(_USER) == user
        return self.may_be(session, user)

    def may_be(self, session: str, user: str) -> bool:
        """Whether a session is this user's, or may be: a candidate's, or one that the user is attached to."""
        teller = self._tellers.get(session)
        if teller is None:
            return False
        match teller.text(_IDENTITY):
            case Identity.IDENTIFIED:
                return teller.text(_USER) == user
            case Identity.AMBIGUOUS:
                return user.encode("utf-8", "surrogateescape") in teller.words(_CANDIDATES)
            case None:
                return user.encode("utf-8", "surrogateescape") in teller.words(_ATTACHED)
        return False


def _is_attached(row: Row) -> bool:
    """Of a container's sessions only its own has the terminal that people attach to."""
    return _ATTACHED in row.attributes and row.text("podcorder.session.kind") == SessionKind.CONTAINER


def _rank(row: Row) -> tuple[bool, int]:
    return row.kind == IDENTIFIED, row.time
