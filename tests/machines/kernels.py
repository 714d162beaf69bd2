"""Debian's kernels: the image that a machine boots, and the modules with which it reaches its disks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from machines.archives import Archive

MODULES = ("virtio_pci", "virtio_blk", "ext4")
"""What reaches the disks. What a kernel has built in is no file."""
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One that a machine can boot."""

    name: str
    architecture: str
    package: str
    """That depends on the newest build."""


KERNELS = {each.name: each for each in (Kernel("6.1", "amd64", "linux-image-cloud-amd64"),)}


@dataclass(frozen=True, slots=True)
class UnpackedKernel:
    """A kernel's files."""

    root: Path

    @property
    def image(self) -> Path:
        (found,) = self.root.glob("boot/vmlinuz-*")
        return found

    @property
    def version(self) -> str:
        """As uname tells it."""
        return self.image.name.removeprefix("vmlinuz-")

    def modules(self) -> list[Path]:
        """The files of MODULES and of what they depend on, in the order of loading."""
        files = {_name_of(path.name): path for path in self.root.glob("lib/modules/*/kernel/**/*.ko")}
        names = (name for each in MODULES for name in _in_order(each, files))
        return [files[name] for name in dict.fromkeys(names)]


def unpack(kernel: Kernel, archive: Archive, root: Path) -> UnpackedKernel:
    """Unpack the newest build below `root`; raises CommandFailed."""
    (build,) = (each for each in archive.depended_on(kernel.package) if each.startswith("linux-image-"))
    archive.unpack([build], root)
    return UnpackedKernel(root)


def _in_order(name: str, files: dict[str, Path]) -> Iterator[str]:
    """A module after those that it depends on (modinfo(8)); nothing where it is built in."""
    if name in files:
        found = _DEPENDS.search(files[name].read_bytes())
        for each in found[1].decode().split(",") if found else ():
            yield from _in_order(_name_of(each), files)
        yield name


def _name_of(text: str) -> str:
    """File names may have a dash where the module's own name has none."""
    return text.removesuffix(".ko").replace("-", "_")
