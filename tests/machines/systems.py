"""A machine's root disk: a small Debian with systemd, container runtimes, Python and what the tests import."""

from __future__ import annotations

import compileall
import re
import shutil
import zipfile
from pathlib import Path

from machines.archives import Archive

from images import wheels
from images.commands import run
from images.recipes import PYTHON

PROJECT = Path(__file__).parent.parent.parent
SUITES = ("bookworm", "bookworm-updates", "bookworm-security")
"""The one whose Python the images have, whatever the kernel."""
PACKAGES = (
    *("python3.11", "libbpf1", "libstdc++6", "python3-bpfcc"),  # the recorder with either loader, and re2
    *("systemd", "dbus", "dash", "coreutils", "grep", "mount", "util-linux", "iproute2", "busybox-static"),
    *("runc", "crun", "containerd"),
)
"""What they depend on comes with them."""
REQUIREMENTS = PROJECT / "requirements"
"""agent.txt is installed whole, of development.txt what runs the tests."""
_RUNNER = re.compile(r"(iniconfig|packaging|pluggy|pygments|pytest)==.*")
_SITE = Path(wheels.SITE)
_DIRECTORIES = ("proc", "sys", "dev", "run", "tmp", "root", "etc", "var/cache", "var/lib", "project")
_MEGABYTES = 1536


def write_disk(archive: Archive, cache: Path, architecture: str, disk: Path) -> None:
    """Make the file system of an architecture; `cache` keeps what comes from PyPI. Raises CommandFailed."""
    root = disk.with_suffix(".root")
    root.mkdir()
    archive.unpack_all(PACKAGES, root)
    for each in _DIRECTORIES:
        (root / each).mkdir(parents=True, exist_ok=True)
    _add_wheels(root, cache, architecture)
    _add_settings(root)
    run("mke2fs", "-q", "-t", "ext4", "-d", root, disk, f"{_MEGABYTES}m")
    shutil.rmtree(root)


def _add_wheels(root: Path, cache: Path, architecture: str) -> None:
    requirements = cache / f"machine-{architecture}.txt"
    requirements.parent.mkdir(parents=True, exist_ok=True)
    runner = _choose((REQUIREMENTS / "development.txt").read_text())
    requirements.write_text((REQUIREMENTS / "agent.txt").read_text() + "".join(runner))
    for wheel in wheels.fetch(requirements, architecture, cache):
        with zipfile.ZipFile(wheel.file) as files:
            files.extractall(root / _SITE)
    for each in (root / _SITE, root / f"usr/lib/python{PYTHON}"):
        compileall.compile_dir(each, stripdir=str(root), prependdir="/", quiet=2, workers=0)


def _choose(pins: str) -> list[str]:
    """The requirements that run the tests, with their hashes."""
    blocks = re.findall(r"^\S.*\\\n(?:    --hash.*\n)+", pins, re.MULTILINE)
    return [each for each in blocks if _RUNNER.match(each)]


def _add_settings(root: Path) -> None:
    """Users, and commands where the tests look for them."""
    etc = root / "etc"
    (etc / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nmessagebus:x:100:100::/:/bin/false\n")
    (etc / "group").write_text("root:x:0:\nmessagebus:x:100:\n")
    (etc / "shadow").write_text("root:*:::::::\n")
    (etc / "hostname").write_text("machine\n")
    (etc / "machine-id").write_text(f"{'0' * 31}1\n")
    local = root / "usr/local/bin"
    local.mkdir(parents=True, exist_ok=True)
    (local / "python3").symlink_to(f"/usr/bin/python{PYTHON}")
    script = local / "podcorder"
    script.write_text("#!/usr/local/bin/python3 -P\nfrom podcorder_agent.cli import main\n\nmain()\n")
    script.chmod(0o755)
