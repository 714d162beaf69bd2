"""Sockets that servers listen on."""

from __future__ import annotations

import socket


def listen(port: int) -> socket.socket:
    """One socket for IPv4 and IPv6, where there is such a thing. Raises OSError."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
