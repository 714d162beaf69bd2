"""Debian's kernels: the image that a machine boots, and the modules with which it reaches its disks."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from dataclasses import dataclass
from pathlib import Path

from machines.archives import Archive

from images.commands import run

MODULES = ("virtio_pci", "virtio_blk", "ext4", "bridge")
"""What reaches the disks, and a device of the network's tests. What a kernel has built in is no file."""
SPLIT_OFF = ("linux-binary-", "linux-modules-")
"""Packages into which Debian splits its newest kernels."""
DECOMPRESS = {".xz": ("xz", "-dc"), ".zst": ("zstd", "-dqc")}
_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One that a machine can boot."""

    release: str
    architecture: str
    suites: tuple[str, ...]
    """Of Debian, that have it."""
    package: str
    """That depends on the newest build."""

    @property
    def name(self) -> str:
        return f"{self.release}-{self.architecture}"


KERNELS = {
    each.name: each
    for each in (
        Kernel("5.10", "amd64", ("bullseye", "bullseye-security"), "linux-image-cloud-amd64"),
        Kernel("6.1", "amd64", ("bookworm", "bookworm-security"), "linux-image-cloud-amd64"),
        Kernel("6.12", "amd64", ("trixie", "trixie-security"), "linux-image-cloud-amd64"),
        Kernel("sid", "amd64", ("sid",), "linux-image-cloud-amd64"),
        Kernel("6.12", "arm64", ("trixie", "trixie-security"), "linux-image-cloud-arm64"),
    )
}
"""sid has the newest that Debian has, whatever it is."""


def find(name: str) -> Kernel:
    """A kernel by its name, in which amd64 need not be said. Raises ArgumentTypeError."""
    found = KERNELS.get(name) or KERNELS.get(f"{name}-amd64")
    if found is None:
        raise ArgumentTypeError(f"there is no kernel {name}: name one of {', '.join(KERNELS)}")
    return found


@dataclass(frozen=True, slots=True)
class UnpackedKernel:
    """A kernel's files."""

    root: Path

    @property
    def image(self) -> Path:
        """In /boot, or of newer ones beside the modules."""
        (found,) = (path for place in ("boot", "usr/lib/modules") for path in self.root.glob(f"{place}/**/vmlinuz*"))
        return found

    @property
    def release(self) -> str:
        """As uname tells it."""
        (found,) = (path.name for path in self.root.glob("usr/lib/modules/*"))
        return found

    def modules(self) -> dict[str, bytes]:
        """MODULES and what they depend on, by name, in the order of loading; raises CommandFailed."""
        files = {_name_of(path.name): path for path in self.root.glob("**/modules/*/kernel/**/*.ko*")}
        modules: dict[str, bytes] = {}
        for each in MODULES:
            _add(modules, each, files)
        return modules


def unpack(kernel: Kernel, archive: Archive, root: Path) -> UnpackedKernel:
    """Unpack the newest build below `root`; raises CommandFailed."""
    (build,) = (each for each in archive.depended_on(kernel.package) if each.startswith("linux-image-"))
    parts = (each for each in archive.depended_on(build) if each.startswith(SPLIT_OFF))
    archive.unpack([build, *parts], root)
    return UnpackedKernel(root)


def _add(modules: dict[str, bytes], name: str, files: dict[str, Path]) -> None:
    """A module after those that it depends on (modinfo(8)); nothing where it is built in."""
    if name not in files or name in modules:
        return
    module = _read(files[name])
    found = _DEPENDS.search(module)
    for each in found[1].decode().split(",") if found else ():
        _add(modules, _name_of(each), files)
    modules[name] = module


def _read(path: Path) -> bytes:
    """Without the compression that busybox does not know."""
    command = DECOMPRESS.get(path.suffix)
    return run(*command, path) if command else path.read_bytes()


def _name_of(text: str) -> str:
    """File names may have a dash where the module's own name has none."""
    return text.partition(".ko")[0].replace("-", "_")
