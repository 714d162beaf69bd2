"""The one way for the other half, the command line and tests to reach the recorder."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from podcorder_agent.control.messages import SOCKET_NAME, VERSION, Decoder, Message, MessageError, encode_message
from podcorder_agent.errors import PodcorderError

__all__ = ["SOCKET_NAME", "ControlClient", "ControlError", "ControlUnreachable"]


class ControlError(PodcorderError):
    """The recorder could not be reached, or refused a request."""

    exit_code = 18


class ControlUnreachable(ControlError):
    """Nobody answers at the socket: the request may or may not have been done; ask again with the same number."""


class ControlClient:
    """A connection to the recorder's control socket, opened at the first request and again after it broke.

    Numbers begin at the clock's nanoseconds, so that a client that starts anew under the same name never repeats one.
    A request that breaks half-way is sent once more with its number: the recorder does not do it twice.
    """

    def __init__(self, path: str | Path, name: str, *, timeout: float = 30.0) -> None:
        self._path = str(path)
        self._name = name
        self._timeout = timeout
        self._number = time.time_ns()
        self._socket: socket.socket | None = None
        self._decoder = Decoder()
        self.greeting: Message = {}
        """The last answer to `hello`."""

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def hello(self) -> Message:
        """`{versions, boot_id, generation, node, position}`."""
        self.close()
        self._connect()
        return self.greeting

    def configure(self, slot: int, settings: Message | None) -> Message:
        """Fill (or clear) a slot; `{capabilities}`."""
        return self._request("configure", slot=slot, settings=settings)

    def select(self, cgroup_id: int, slot: int, session_kind: str, container: Message) -> Message:
        """Record this cgroup and all below it; `{cgroups: how many there are}`."""
        return self._request("select", cgroup_id=cgroup_id, slot=slot, session_kind=session_kind, container=container)

    def exclude(self, cgroup_id: int, outside: bool = False) -> Message:
        """Do not record this cgroup and all below it; `outside`: it is no container, and logins in it are recorded."""
        fields = {"outside": True} if outside else {}
        return self._request("exclude", cgroup_id=cgroup_id, **fields)

    def logins(self, slot: int | None) -> Message:
        """Record logins on this machine into a slot, or none of them."""
        return self._request("logins", slot=slot)

    def pending(self, events: list[str], seconds: int = 60, bytes: int = 16 * 1024 * 1024) -> Message:
        """Hold new container cgroups for these classes; `{capabilities}`."""
        return self._request("pending", events=events, seconds=seconds, bytes=bytes)

    def ignore(self, tgid: int) -> Message:
        return self._request("ignore", tgid=tgid)

    def fact(self, subject: str, data: Any) -> Message:
        return self._request("fact", subject=subject, data=data)

    def acknowledge(self, position: str, checkpoint: Message | None = None) -> Message:
        """`position` is SEGMENT:OFFSET: everything before it is delivered."""
        return self._request("acknowledge", position=position, checkpoint=checkpoint)

    def flush(self) -> Message:
        """`{position}`: behind everything that happened before the call."""
        return self._request("flush")

    def health(self) -> Message:
        return self._request("health")

    def unload(self) -> Message:
        """Take all programs and pins out of the kernel; the recorder stays, to be asked about the journal."""
        return self._request("unload")

    def stop(self, unpin: bool = False) -> Message:
        """The recorder answers when it is done, and exits."""
        return self._request("stop", unpin=unpin)

    def _request(self, kind: str, **fields: Any) -> Message:
        self._number += 1
        message = {"version": VERSION, "number": self._number, "kind": kind, **fields}
        if self._socket is None:
            self._connect()
        try:
            reply = self._exchange(message)
        except ControlUnreachable:
            self._connect()
            reply = self._exchange(message)
        if not reply.get("ok"):
            raise ControlError(str(reply.get("error", "the recorder refused and gave no reason")))
        return reply

    def _connect(self) -> None:
        self.close()
        self._decoder = Decoder()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            raise ControlUnreachable(
                f"No recorder answers at {self._path} ({error.strerror}): start one, or name another journal."
            ) from None
        self._socket = connection
        self._number += 1
        reply = self._exchange({"version": VERSION, "number": self._number, "kind": "hello", "name": self._name})
        if not reply.get("ok"):
            self.close()
            raise ControlError(str(reply.get("error", "the recorder refused the greeting")))
        if VERSION not in reply.get("versions", []):
            self.close()
            raise ControlError(
                f"The recorder speaks versions {reply.get('versions')}, not {VERSION}: update the older half."
            )
        self.greeting = reply

    def _exchange(self, message: Message) -> Message:
        if self._socket is None:
            raise ControlUnreachable(f"The connection to {self._path} is closed: ask again.")
        try:
            self._socket.sendall(encode_message(message))
            while True:
                while (reply := self._decoder.next()) is None:
                    data = self._socket.recv(1 << 16)
                    if not data:
                        raise ConnectionResetError(104, "the recorder closed the connection")
                    self._decoder.feed(data)
                if reply.get("number") == message["number"]:
                    return reply
        except MessageError as error:
            self.close()
            raise ControlError(f"The recorder's answer makes no sense ({error}): update the older half.") from None
        except OSError as error:
            self.close()
            raise ControlUnreachable(f"The recorder at {self._path} broke off ({error}): ask again.") from None
