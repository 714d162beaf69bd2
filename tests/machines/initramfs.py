"""What a kernel unpacks before it has a disk: a busybox, a few modules, and the script that looks for the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from machines.archives import Archive
from machines.kernels import UnpackedKernel

from images.commands import run

INIT = Path(__file__).parent / "guest" / "init"


def write(archive: Archive, kernel: UnpackedKernel, path: Path) -> None:
    """Make the initramfs of a kernel; raises CommandFailed."""
    with TemporaryDirectory() as name:
        root = Path(name) / "root"
        archive.unpack(["busybox-static"], Path(name) / "busybox")
        (root / "bin").mkdir(parents=True)
        shutil.copy(Path(name) / "busybox/bin/busybox", root / "bin")
        shutil.copy(INIT, root / "init")
        (root / "modules").mkdir()
        for number, (module, content) in enumerate(kernel.modules().items()):
            (root / "modules" / f"{number:02}-{module}.ko").write_bytes(content)
        names = "".join(f"{each.relative_to(root)}\n" for each in sorted(root.rglob("*")))
        path.write_bytes(run("cpio", "--quiet", "--create", "--format", "newc", cwd=root, data=names.encode()))
