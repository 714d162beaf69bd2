"""What connections take of the operator's memory."""

from __future__ import annotations

import asyncio
import ssl
import tracemalloc
from pathlib import Path

import pytest
from cluster.certificates import Authority

from podcorder_operator.listeners import listen, shrink_tls_buffers

CONNECTIONS = 20
MOST_BYTES = 100_000


def test_a_connection_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends of a connection with TLS together take far less than the 512 KiB that asyncio would take for them."""
    pair = Authority(tmp_path).issue("server", "/CN=server", addresses=["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    trusting = ssl.create_default_context(cafile=tmp_path / "ca.crt")
    monkeypatch.setattr(asyncio.sslproto.SSLProtocol, "max_size", asyncio.sslproto.SSLProtocol.max_size)
    shrink_tls_buffers()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def measure() -> float:
        async with await asyncio.start_server(hold, sock=(sock := listen(0)), ssl=context):
            port = sock.getsockname()[1]
            tracemalloc.start()
            opened = [await asyncio.open_connection("127.0.0.1", port, ssl=trusting) for _ in range(CONNECTIONS)]
            taken, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            for _, writer in opened:
                writer.close()
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
            return taken / CONNECTIONS

    taken = asyncio.run(measure())
    assert taken < MOST_BYTES
