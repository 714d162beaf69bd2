"""The cluster's DNS, as far as pods of tests need one: the addresses of Services, and nothing of the world outside.

`python names.py KUBECONFIG ADDRESS` answers on UDP port 53 what the Kubernetes DNS specification says of A and AAAA
records of `<service>.<namespace>.svc.cluster.local`. It asks the API server each time, so nothing it says is old.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import sys
import urllib.request
from pathlib import Path

import yaml

DOMAIN = "cluster.local"
PORT = 53
_HEADER = struct.Struct("!6H")
_A, _INTERNET, _SECONDS = 1, 1, 5
_ANSWER, _NO_SUCH_NAME = 0x8580, 0x8583
"""Flags: an authoritative answer, recursion available (RFC 1035, 4.1.1); the latter with the code NXDOMAIN."""
_THE_QUESTIONS_NAME = 0xC000 | _HEADER.size
_NOTHING = ("", "None")


class Services:
    """The Services that a user of this kubeconfig may list."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self._tls = ssl.create_default_context(cafile=cluster["certificate-authority"])
        headers = {"Authorization": f"Bearer {user['token']}"}
        self._request = urllib.request.Request(f"{cluster['server']}/api/v1/services", headers=headers)

    def addresses(self) -> dict[str, str]:
        """By DNS name; empty for a Service without an address of its own. Raises OSError."""
        with urllib.request.urlopen(self._request, timeout=5, context=self._tls) as response:
            found = json.load(response)["items"]
        names = (f"{each['metadata']['name']}.{each['metadata']['namespace']}.svc.{DOMAIN}" for each in found)
        return dict(zip(names, (each["spec"].get("clusterIP", "") for each in found), strict=True))


def answer(query: bytes, addresses: dict[str, str]) -> bytes:
    """The response to a query of one question. Raises ValueError and struct.error where it is none."""
    number, _, questions, *_ = _HEADER.unpack_from(query)
    if questions != 1:
        raise ValueError("not one question")
    name, end = _read_name(query)
    (kind, _) = struct.unpack_from("!2H", query, end)
    address = addresses.get(name)
    records = b""
    if kind == _A and address not in (None, *_NOTHING):
        head = struct.pack("!3HIH", _THE_QUESTIONS_NAME, _A, _INTERNET, _SECONDS, 4)
        records = head + socket.inet_aton(str(address))
    flags = _NO_SUCH_NAME if address is None else _ANSWER
    return _HEADER.pack(number, flags, 1, bool(records), 0, 0) + query[_HEADER.size : end + 4] + records


def _read_name(query: bytes) -> tuple[str, int]:
    """The question's name and where it ends."""
    labels, place = [], _HEADER.size
    while length := query[place]:
        labels.append(query[place + 1 : place + 1 + length].decode("ascii").lower())
        place += 1 + length
    return ".".join(labels), place + 1


def main() -> None:
    services = Services(Path(sys.argv[1]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((sys.argv[2], PORT))
        while True:
            query, peer = server.recvfrom(512)
            try:
                server.sendto(answer(query, services.addresses()), peer)
            except (OSError, ValueError, IndexError, struct.error) as error:
                print(f"no answer to {peer}: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
