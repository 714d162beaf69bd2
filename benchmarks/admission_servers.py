"""What stands beside the operator in `benchmarks.admission`, a process each: a webhook that does nothing, and a kubelet
that takes every exec and ends it.

`python -m benchmarks.admission_servers webhook|kubelet PORT CERTIFICATE KEY`
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import threading
from contextlib import suppress

from aiohttp import web

ENDED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n"


async def serve_webhook(port: int, context: ssl.SSLContext) -> None:
    """The same server as the operator's, which allows whatever it is asked."""

    async def allow(request: web.Request) -> web.Response:
        uid = (await request.json())["request"]["uid"]
        response = {"uid": uid, "allowed": True}
        return web.json_response({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})

    application = web.Application()
    application.add_routes([web.post("/", allow)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port, ssl_context=context).start()
    await asyncio.Event().wait()


def serve_kubelet(port: int, context: ssl.SSLContext) -> None:
    """With plain sockets, which take half of what the event loop's take: the processors are the benchmark's bound."""
    listening = socket.create_server(("", port), backlog=1024)

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            with suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += secured.recv(1 << 14)
                secured.sendall(ENDED)

    threads = [threading.Thread(target=serve) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    what, port, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if what == "kubelet":
        serve_kubelet(int(port), context)
    else:
        asyncio.run(serve_webhook(int(port), context))


if __name__ == "__main__":
    main()
