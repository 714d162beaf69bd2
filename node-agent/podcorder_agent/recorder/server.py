"""The control socket's listening side: never waits for anybody, and bounded in what it holds for a peer."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from podcorder_agent.control.messages import VERSIONS, Decoder, Message, MessageError, check_request, encode_message
from podcorder_agent.recorder.errors import SocketUnusable

CONNECTIONS = 16
_READ_BYTES = 256 * 1024
_OUTGOING_LIMIT = 16 * 1024 * 1024
_HELLO_LIMIT = 4096
"""Bytes held of a peer that has not said who it is."""
_HELD_LIMIT = 20 * 1024 * 1024
"""Bytes held of all unfinished messages together: one of the largest, and room for small ones."""
_ANSWERS_KEPT = 64
"""Replies remembered for each client name, so that a repeated number is not done again."""
_NAMES_KEPT = 64
_READS = frozenset({"flush", "health"})
"""They change nothing: asked again they are answered anew."""
_PEER_CREDENTIALS = struct.Struct("=iII")

Handler = Callable[[int, int, str, Message], Message]
"""(number, peer's uid, kind, request) -> the reply's fields; raises MessageError to refuse."""


class Connection:
    """One peer."""

    def __init__(self, connected: socket.socket, pid: int, uid: int) -> None:
        self.socket = connected
        self.pid = pid
        self.uid = uid
        self.name = ""
        self.decoder = Decoder()
        self.outgoing = bytearray()


class ControlServer:
    """Accepts peers whose uid is allowed and hands their requests, one by one, to the handler."""

    def __init__(self, path: Path, uids: frozenset[int], mode: int, group: int, poller: select.epoll) -> None:
        """Raises SocketUnusable. The journal's lock is held by now, so a socket that stands there is a dead one."""
        self._uids = uids
        self._poller = poller
        self._connections: dict[int, Connection] = {}
        self._answers: OrderedDict[str, OrderedDict[int, bytes]] = OrderedDict()
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            path.unlink(missing_ok=True)
            self._listener.bind(os.fspath(path))
            os.chown(path, -1, group)
            path.chmod(mode)
            self._listener.listen(CONNECTIONS)
        except OSError as error:
            self._listener.close()
            raise SocketUnusable(
                f"The control socket {path} cannot be made ({error}): name a shorter --journal of root's."
            ) from None
        poller.register(self._listener.fileno(), select.EPOLLIN)

    def serve(self, descriptor: int, mask: int, handler: Handler) -> None:
        """What epoll said about one descriptor; descriptors of others are left alone."""
        if descriptor == self._listener.fileno():
            self._accept()
            return
        connection = self._connections.get(descriptor)
        if connection is None:
            return
        if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not self._receive(connection, handler):
            self._drop(connection)
            return
        self._send(connection)

    def close(self) -> None:
        """Send what can be sent at once, and go."""
        for connection in list(self._connections.values()):
            connection.socket.settimeout(1.0)
            try:
                connection.socket.sendall(connection.outgoing)
            except OSError:
                pass  # a peer that does not read its last reply
            connection.socket.close()
        self._connections.clear()
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except OSError:
            return  # gone again
        connected.setblocking(False)
        pid, uid, _ = _PEER_CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if uid not in self._uids or len(self._connections) >= CONNECTIONS:
            connected.close()
            return
        self._connections[connected.fileno()] = Connection(connected, pid, uid)
        self._poller.register(connected.fileno(), select.EPOLLIN)

    def _receive(self, connection: Connection, handler: Handler) -> bool:
        """Whether the connection is still good."""
        try:
            data = connection.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not data:
            return False
        connection.decoder.feed(data)
        try:
            while (message := connection.decoder.next()) is not None:
                connection.outgoing += self._answer(connection, message, handler)
            self._check_held(connection)
        except MessageError as error:
            # the stream cannot be trusted any more: one last word
            connection.outgoing += encode_message({"number": None, "ok": False, "error": str(error)})
            self._send(connection)
            return False
        return len(connection.outgoing) <= _OUTGOING_LIMIT

    def _check_held(self, connection: Connection) -> None:
        """Raises MessageError where half a message is too much to keep."""
        held = connection.decoder.held
        if not connection.name and held > _HELLO_LIMIT:
            raise MessageError("the first request must be `hello`, and short")
        if held and sum(each.decoder.held for each in self._connections.values()) > _HELD_LIMIT:
            raise MessageError("too much is under way on other connections: try again later")

    def _answer(self, connection: Connection, message: Message, handler: Handler) -> bytes:
        number = message.get("number")
        try:
            number, kind = check_request(message)
            if kind == "hello":
                connection.name = message["name"]
                fields = {"versions": list(VERSIONS), **handler(number, connection.uid, kind, message)}
                return encode_message({"number": number, "ok": True, **fields})
            if not connection.name:
                raise MessageError("the first request must be `hello`")
            if kind == "ignore" and connection.uid not in (0, os.getuid()) and message["tgid"] != connection.pid:
                raise MessageError("only root may have another process than its own ignored")
            known = self._answers_of(connection.name)
            if number in known:
                return known[number]
            answer = encode_message({"number": number, "ok": True, **handler(number, connection.uid, kind, message)})
            if kind not in _READS:
                known[number] = answer
                if len(known) > _ANSWERS_KEPT:
                    known.popitem(last=False)
            return answer
        except (ValueError, RecursionError) as error:
            return encode_message({"number": number if type(number) is int else None, "ok": False, "error": str(error)})
        except Exception as error:
            # no request, however odd, may end the recording
            return encode_message({"number": number, "ok": False, "error": f"the recorder failed: {error!r}"})

    def _answers_of(self, name: str) -> OrderedDict[int, bytes]:
        known = self._answers.setdefault(name, OrderedDict())
        self._answers.move_to_end(name)
        if len(self._answers) > _NAMES_KEPT:
            self._answers.popitem(last=False)
        return known

    def _send(self, connection: Connection) -> None:
        try:
            while connection.outgoing:
                del connection.outgoing[: connection.socket.send(connection.outgoing)]
        except BlockingIOError:
            pass  # a slow reader: epoll tells when it has room
        except OSError:
            self._drop(connection)
            return
        waiting = select.EPOLLOUT if connection.outgoing else 0
        self._poller.modify(connection.socket.fileno(), select.EPOLLIN | waiting)

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is not None:
            self._poller.unregister(connection.socket.fileno())
            connection.socket.close()
