"""Container images made by hand, one layer each, for machines that reach no registry."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path

PAUSE = "localhost/pause:1"
BUSYBOX = "localhost/busybox:1"


def write_busybox_image(path: Path, name: str, command: Sequence[str]) -> None:
    """An archive for `ctr images import`: the machine's static busybox with all its commands, which runs `command`."""
    busybox = shutil.which("busybox")
    assert busybox, "busybox is not installed: install busybox-static"
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        for directory in ("bin", "tmp"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            archive.addfile(entry)
        archive.add(busybox, "bin/busybox")
        for applet in applets:
            if applet != "busybox":
                entry = tarfile.TarInfo(f"bin/{applet}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                archive.addfile(entry)
    write_image(path, name, layer.getvalue(), command)


def write_program_image(path: Path, name: str, program: Path) -> None:
    """The same with a static program alone, which runs with the arguments that a pod gives."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        archive.add(program, "program")
    write_image(path, name, layer.getvalue(), (), ["/program"])


def write_image(path: Path, name: str, layer: bytes, command: Sequence[str], entrypoint: Sequence[str] = ()) -> None:
    """An image of one layer, a tar file, in the form that `docker save` writes."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Cmd": list(command), "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "manifest.json": json.dumps(manifest).encode(),
        "layer.tar": layer,
    }
    with tarfile.open(path, "w") as archive:
        for file, data in files.items():
            entry = tarfile.TarInfo(file)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
