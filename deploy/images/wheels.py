"""What comes from PyPI, pinned with hashes, and the project itself, each unpacked from its wheel."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser
from pathlib import Path

from images.commands import run
from images.errors import ObjectsMissing
from images.recipes import PYTHON
from images.trees import Tree

SITE = f"usr/local/lib/python{PYTHON}/dist-packages"
"""Where Debian's Python looks for what is not Debian's."""
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC_MINOR = 36
"""Debian 12 has glibc 2.36."""
_OLDEST_GLIBC_MINOR = 17
_SOURCES = ("LICENSE", "README.md", "pyproject.toml", "crds", "node-agent", "operator", "redaction")
_OBJECTS = "podcorder_agent/recorder/objects/{}/"


@dataclass(frozen=True, slots=True)
class Wheel:
    file: Path
    digest: str
    """SHA-256, in hex."""
    metadata: Message


def fetch(requirements: Path, architecture: str, cache: Path) -> list[Wheel]:
    """The wheels that a file of requirements pins, from the cache where they are there."""
    key = hashlib.sha256(requirements.read_bytes()).hexdigest()[:16]
    directory = cache / f"{requirements.stem}-{architecture}-{key}"
    if not directory.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            _download(requirements, architecture, Path(temporary, "wheels"))
            Path(temporary, "wheels").rename(directory)
    return [_read(file) for file in sorted(directory.glob("*.whl"))]


def _download(requirements: Path, architecture: str, directory: Path) -> None:
    machine = _MACHINES[architecture]
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(_GLIBC_MINOR, _OLDEST_GLIBC_MINOR - 1, -1)]
    run(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", directory),
        *("--require-hashes", "--no-deps", "--only-binary", ":all:", "--requirement", requirements),
        *("--implementation", "cp", "--python-version", PYTHON),
        *(f"--platform={platform}" for platform in (*platforms, f"manylinux2014_{machine}")),
    )


def build(project: Path, directory: Path, time: int) -> Wheel:
    """The project's own wheel; raises ObjectsMissing where it would be without the BPF programs of an architecture."""
    # setuptools leaves things where it builds, and finds what an earlier build has left there.
    source = directory / "source"
    source.mkdir()
    for name in _SOURCES:
        if (project / name).is_dir():
            shutil.copytree(project / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(project / name, source)
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"),
        *("--no-build-isolation", "--no-cache-dir", "--wheel-dir", directory, source),
        env={**os.environ, "SOURCE_DATE_EPOCH": str(time)},
    )
    (file,) = directory.glob("*.whl")
    names = zipfile.ZipFile(file).namelist()
    for machine in ("x86_64", "arm64"):
        if not any(name.startswith(_OBJECTS.format(machine)) for name in names):
            raise ObjectsMissing(f"The BPF programs for {machine} are not compiled: run make bpf.")
    return _read(file)


def unpack(wheels: list[Wheel], tree: Tree) -> None:
    """What can be imported and its metadata; scripts stay behind, they are for other directories."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel.file) as archive:
            for name in archive.namelist():
                if not name.endswith("/") and ".data/scripts/" not in name:
                    tree.add_file(f"{SITE}/{name}", archive.read(name))


def add_script(name: str, target: str, tree: Tree) -> None:
    """A command on the PATH; `target`: as pyproject.toml has it, `module:function`."""
    module, function = target.split(":")
    code = f"#!/usr/bin/python{PYTHON} -P\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n"
    tree.add_file(f"usr/local/bin/{name}", code.encode(), 0o755)


def _read(file: Path) -> Wheel:
    with zipfile.ZipFile(file) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        parsed = BytesHeaderParser().parsebytes(archive.read(metadata))
    return Wheel(file, hashlib.sha256(file.read_bytes()).hexdigest(), parsed)
