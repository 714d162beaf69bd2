"""Sockets that servers listen on, and what a connection to them takes."""

from __future__ import annotations

import socket
from asyncio import sslproto

TLS_BUFFER_BYTES = 1 << 15
"""A record of TLS has at most half as many."""


def shrink_tls_buffers() -> None:
    """Of all connections of this process that come: asyncio would take 256 KiB for each one with TLS, which hundreds of
    questions that wait for a slow API server, or anybody who just connects, could make all the memory there is."""
    sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


def listen(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6, where there is such a thing. Raises OSError."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
