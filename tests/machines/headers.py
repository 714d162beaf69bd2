"""A kernel's headers as a disk of their own, for machines whose kernel is to be known by them alone."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from machines.archives import Archive
from machines.kernels import Kernel
from machines.machine import Machine

from images.caches import open_cache
from images.commands import run

MOUNT = """
mkdir -p /mnt /usr/src /usr/lib/modules
mount -o ro /dev/vdd /mnt
mount --bind /mnt/usr/src /usr/src
mount --bind /mnt/usr/lib/modules /usr/lib/modules
"""
"""Has them where the distribution installs them, in a machine that was given the disk."""
_MEGABYTES = 256


def prepare_headers(kernel: Kernel, machine: Machine) -> Path:
    """The disk of those that belong to the machine's kernel; raises CommandFailed."""
    package = f"linux-headers-{machine.kernel.release}"
    with open_cache("machines") as cache:
        disk = cache / f"{package}.ext4"
        if not disk.exists():
            archive = Archive(cache, kernel.architecture, kernel.suites)
            archive.update()
            common = (each for each in archive.depended_on(package) if each.endswith("-common"))
            with TemporaryDirectory(dir=cache) as name:
                root, new = Path(name) / "root", Path(name) / "disk"
                archive.unpack([package, *common], root)
                run("mke2fs", "-q", "-t", "ext4", "-d", root, new, f"{_MEGABYTES}m")
                new.rename(disk)
    return disk
