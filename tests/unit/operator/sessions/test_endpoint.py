"""The server that the API server asks about sessions."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from cluster.certificates import Authority
from fixtures.api_server import ApiServer
from fixtures.session_reviews import NAMESPACE, POD, make_body, make_pod, make_strictness, make_world

from podcorder_operator.api import Api
from podcorder_operator.errors import PortTaken, SettingInvalid
from podcorder_operator.metrics import Metrics
from podcorder_operator.resources import PODS
from podcorder_operator.sessions import endpoint as module
from podcorder_operator.sessions.announcer import Announcer
from podcorder_operator.sessions.certificates import Certificate, read_certificate
from podcorder_operator.sessions.endpoint import MAX_REVIEW_BYTES, Endpoint
from podcorder_operator.settings import Settings

TOKEN = "0" * 32

Post = Callable[[str, object], Awaitable[tuple[int, object]]]


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    pair = Authority(tmp_path).issue("webhook", "/CN=webhook", addresses=["127.0.0.1"])
    return read_certificate(pair.certificate, pair.key)


def play(
    certificate: Certificate, directory: Path, test: Callable[[Endpoint, Metrics, Post], Awaitable[None]], ready: bool
) -> None:
    async def run() -> None:
        metrics = Metrics()
        context = ssl.create_default_context(cafile=directory / "ca.crt")
        async with (
            ApiServer() as server,
            Api(server.configuration(), metrics) as api,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as client,
        ):
            server.put(PODS.path(POD, namespace=NAMESPACE), make_pod())
            world = make_world({})
            announcer = Announcer(world, make_strictness(world), api, "podcorder", bytes(32))

            async def post(path: str, body: object) -> tuple[int, object]:
                url = f"https://127.0.0.1:{endpoint.port}{path}"
                kind = "data" if isinstance(body, bytes) else "json"
                async with client.post(url, **{kind: body}) as answer:  # type: ignore[arg-type]
                    return answer.status, await answer.json() if answer.status == 200 else await answer.text()

            async with Endpoint(0, certificate, TOKEN, announcer, metrics, lambda: ready) as endpoint:
                await test(endpoint, metrics, post)

    asyncio.run(run())


def test_answers(certificate: Certificate, tmp_path: Path) -> None:
    """A review has its answer and is counted; what is none is refused."""

    async def test(_endpoint: Endpoint, metrics: Metrics, post: Post) -> None:
        code, answer = await post(f"/sessions/{TOKEN}", make_body("pods/exec", {"command": ["ls"]}))
        assert (code, answer["response"]["allowed"]) == (200, True)  # type: ignore[index]
        series = b'podcorder_operator_admissions_total{outcome="announced",source="pods/exec"} 1.0'
        assert series in metrics.render()
        assert b'podcorder_operator_admission_duration_seconds_count{source="pods/exec"} 1.0' in metrics.render()
        for body in (b"", b"{", b"[" * 100000, b"\xff", {"kind": "AdmissionReview"}):
            assert (await post(f"/sessions/{TOKEN}", body))[0] == 400
        assert (await post(f"/sessions/{TOKEN}", b" " * (MAX_REVIEW_BYTES + 1)))[0] == 413

    play(certificate, tmp_path, test, ready=True)


def test_strangers(certificate: Certificate, tmp_path: Path) -> None:
    """Without the secret word nobody is answered."""

    async def test(_endpoint: Endpoint, _metrics: Metrics, post: Post) -> None:
        for path in ("/", "/sessions", "/sessions/", "/sessions/x", f"/sessions/{TOKEN}0", "/sessions/%C3%A9"):
            assert (await post(path, make_body("pods/exec", {})))[0] == 404

    play(certificate, tmp_path, test, ready=True)


def test_not_ready(certificate: Certificate, tmp_path: Path) -> None:
    """Before the policies are known nobody is told that none selects a pod."""

    async def test(endpoint: Endpoint, metrics: Metrics, post: Post) -> None:
        assert (await post(f"/sessions/{TOKEN}", make_body("pods/exec", {})))[0] == 503
        with pytest.raises(PortTaken, match="--sessions-port"):
            async with Endpoint(endpoint.port, certificate, TOKEN, endpoint._announcer, metrics, bool):
                pass

    play(certificate, tmp_path, test, ready=False)


def test_too_many(certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound reviews are turned away at once, and counted; then the next are answered."""
    monkeypatch.setattr(module, "MAX_ANSWERING", 1)
    review = make_body("pods/exec", {"command": ["ls"]})

    async def test(_endpoint: Endpoint, metrics: Metrics, post: Post) -> None:
        codes = [code for code, _ in await asyncio.gather(*(post(f"/sessions/{TOKEN}", review) for _ in range(9)))]
        assert set(codes) == {200, 503}
        turned_away = f'outcome="turned_away",source="unknown"}} {codes.count(503)}.0'
        assert turned_away.encode() in metrics.render()
        assert (await post(f"/sessions/{TOKEN}", review))[0] == 200

    play(certificate, tmp_path, test, ready=True)


def test_a_renewed_certificate(certificate: Certificate, tmp_path: Path) -> None:
    """New connections get it; one that is half written, or gone, changes nothing."""
    (renewed := tmp_path / "renewed").mkdir()
    pair = Authority(renewed).issue("webhook", "/CN=renewed", addresses=["127.0.0.1"])

    async def served(endpoint: Endpoint, authority: Path) -> bool:
        certificate.refresh()
        context = ssl.create_default_context(cafile=authority / "ca.crt")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", endpoint.port, ssl=context)
        except ssl.SSLCertVerificationError:
            return False
        writer.close()
        return True

    async def test(endpoint: Endpoint, _metrics: Metrics, _post: Post) -> None:
        assert await served(endpoint, tmp_path)
        shutil.copy(pair.certificate, tmp_path / "webhook.crt")
        assert await served(endpoint, tmp_path)
        shutil.copy(pair.key, tmp_path / "webhook.key")
        assert await served(endpoint, renewed)
        (tmp_path / "webhook.key").unlink()
        assert await served(endpoint, renewed)

    play(certificate, tmp_path, test, ready=True)


def test_settings(tmp_path: Path) -> None:
    """Files that cannot be what they are given for are named."""
    files = {name: tmp_path / name for name in ("certificate", "key", "digest", "token")}
    for file in files.values():
        file.write_text("short")
    with pytest.raises(SettingInvalid, match="give both"):
        Settings(digest_key=files["digest"])
    with pytest.raises(SettingInvalid, match="--webhook-certificate"):
        Settings(digest_key=files["digest"], sessions_token=files["token"])
    settings = Settings(
        webhook_certificate=files["certificate"],
        webhook_key=files["key"],
        digest_key=files["digest"],
        sessions_token=files["token"],
    )
    with pytest.raises(SettingInvalid, match=f"{files['digest']} has 5 bytes"):
        settings.read_digest_key()
    with pytest.raises(SettingInvalid, match=f"{files['token']} holds no token"):
        settings.read_sessions_token()
    with pytest.raises(SettingInvalid, match="cannot be used"):
        read_certificate(files["certificate"], files["key"])
