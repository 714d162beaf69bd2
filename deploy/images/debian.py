"""Debian packages, fetched once and unpacked without being installed: no maintainer script runs, so an image of another
architecture is made like one's own."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from images.apt import Apt
from images.commands import run
from images.errors import PackageGone
from images.locks import Pin
from images.recipes import USER
from images.trees import Tree

_MERGED = ("bin", "lib", "lib64", "sbin")
"""Directories that are links into usr/ on a Debian of today."""
_CERTIFICATES = "etc/ssl/certs/ca-certificates.crt"
ENVIRONMENT = {"SSL_CERT_FILE": f"/{_CERTIFICATES}"}
"""What OpenSSL needs to find the certificates."""


@dataclass(frozen=True, slots=True)
class Package:
    pin: Pin
    control: Message
    file: Path


def fetch(pins: list[Pin], cache: Path, apt: Apt, *, accept_newer: bool) -> list[Package]:
    """The packages, from the cache where they are there.

    Raises PackageGone where a version is not offered any more, unless `accept_newer` says to take what is offered.
    """
    cache.mkdir(parents=True, exist_ok=True)
    missing = [pin for pin in pins if not (cache / f"{pin.digest}.deb").exists()]
    if missing:
        apt.update()
        offered = apt.offered(pin.name for pin in missing)
        replaced = {pin: _choose(pin, offered.get(pin.name, []), accept_newer) for pin in missing}
        pins = [replaced.get(pin, pin) for pin in pins]
        with tempfile.TemporaryDirectory(dir=cache) as directory:
            apt.download(replaced.values(), Path(directory))
            for file in Path(directory).glob("*.deb"):
                file.rename(cache / f"{hashlib.sha256(file.read_bytes()).hexdigest()}.deb")
    return [_read(pin, cache / f"{pin.digest}.deb") for pin in pins]


def _choose(pin: Pin, offered: list[Pin], accept_newer: bool) -> Pin:
    if pin in offered:
        return pin
    if accept_newer and offered:
        print(f"images: {pin.name} {offered[0].version} in place of {pin.version}, which is gone", file=sys.stderr)
        return offered[0]
    raise PackageGone(
        f"Debian's archive does not offer {pin.name} {pin.version} for {pin.architecture} any more: "
        "run make pin-images, or name the sources of a snapshot that has it with APT_SOURCES=FILE."
    )


def _read(pin: Pin, file: Path) -> Package:
    if not file.exists():
        raise PackageGone(
            f"What was downloaded as {pin.name} {pin.version} is not what is pinned: run make pin-images."
        )
    return Package(pin, HeaderParser().parsestr(run("dpkg-deb", "--field", file).decode()), file)


def unpack(packages: list[Package], tree: Tree) -> None:
    """What is in the packages, and what their installation would have made of it."""
    for path in _MERGED:
        tree.add_link(path, f"usr/{path}")
        tree.add_directory(f"usr/{path}")
    _add(packages, packages, tree)
    tree.add_file("etc/passwd", f"root:x:0:0::/:/nologin\npodcorder:x:{USER}:{USER}::/:/nologin\n".encode())
    tree.add_file("etc/group", f"root:x:0:\npodcorder:x:{USER}:\n".encode())
    tree.add_file("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files dns\n")
    certificates = [data for path, data in tree.files() if path.startswith("usr/share/ca-certificates/")]
    tree.add_file(_CERTIFICATES, b"".join(certificates))
    for name in ("python", "python3"):
        tree.add_link(f"usr/bin/{name}", "python3.11")


def unpack_above(more: list[Package], base: list[Package], tree: Tree) -> None:
    """What is in more packages, for a layer above that of the base."""
    _add(more, [*base, *more], tree)


def _add(packages: list[Package], installed: list[Package], tree: Tree) -> None:
    for package in packages:
        _unpack(run("dpkg-deb", "--fsys-tarfile", package.file), tree)
    tree.add_file("var/lib/dpkg/status", "\n".join(_status(package) for package in installed).encode())


def _unpack(archive: bytes, tree: Tree) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        for member in members:
            path = _place(member.name)
            if member.isreg():
                reader = members.extractfile(member)
                assert reader is not None
                tree.add_file(path, reader.read(), member.mode)
            elif member.issym():
                tree.add_link(path, member.linkname)
            elif member.islnk():
                tree.add_file(path, tree.read(_place(member.linkname)), member.mode)
            elif path != ".":
                tree.add_directory(path, member.mode)


def _place(name: str) -> str:
    path = PurePosixPath(name)
    return str(PurePosixPath("usr") / path if path.parts and path.parts[0] in _MERGED else path)


def _status(package: Package) -> str:
    fields = "".join(f"{name}: {value}\n" for name, value in package.control.items())
    return f"{fields}Status: install ok installed\n"
