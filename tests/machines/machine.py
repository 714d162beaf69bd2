"""A virtual machine that boots one of Debian's kernels, runs a command in this project's tree, and is gone."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory

from machines import initramfs, kernels, systems, workloads
from machines.archives import Archive
from machines.kernels import Kernel, UnpackedKernel

from images.caches import open_cache

HERE = Path(__file__).parent
ARCHIVES = (HERE / "archives.py", HERE / "suites.py")
KERNEL_RECIPE = (*ARCHIVES, HERE / "kernels.py", HERE / "initramfs.py", initramfs.INIT)
DISK_RECIPE = (*ARCHIVES, HERE / "systems.py", *sorted(systems.REQUIREMENTS.glob("*.txt")))
WORKLOADS_RECIPE = (HERE / "workloads.py", *workloads.FILES)
"""A change of one of these files makes the kernels, the disks, or the workloads anew."""
SOURCES = ("crds", "node-agent", "redaction", "tests", "pyproject.toml")
"""Of the project, what a machine gets."""
COMMANDS = {
    "amd64": ("qemu-system-x86_64", "-cpu", "max"),
    "arm64": ("qemu-system-aarch64", "-M", "virt", "-cpu", "max,pauth-impdef=on"),
}
"""How a machine of each architecture is emulated; arm64 signs its pointers cheaply, the default takes as long again."""
CONSOLES = {"amd64": "ttyS0", "arm64": "ttyAMA0"}
_MEMORY_MEGABYTES = 2048
_RESULTS_BYTES = 64 << 20


class MachineFailed(Exception):
    """A machine could not be started or did not come to an end; the sentence says which."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command in a machine."""

    exit_code: int
    files: dict[str, bytes]
    """What it left in /results, by name."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Everything that is needed to boot it, in the cache."""

    architecture: str
    kernel: UnpackedKernel
    initramfs: Path
    disk: Path
    workloads: Path

    @classmethod
    def prepare(cls, kernel: Kernel) -> Machine:
        """Make what is not in the cache yet; raises CommandFailed."""
        with open_cache("machines") as cache:
            return cls(
                kernel.architecture,
                *_prepare_kernel(cache, kernel),
                _prepare_disk(cache, kernel.architecture),
                _prepare_workloads(cache, kernel.architecture),
            )

    def run(self, command: str, console: Path, seconds: float, words: str = "", *disks: Path) -> Outcome:
        """Boot, run a shell's command in /project as root, and power off. Raises MachineFailed.

        `console` takes what the machine prints, the kernel gets `words` besides; its disk is as it was before. `disks`
        are /dev/vdd and on, to be read.
        """
        with TemporaryDirectory(prefix="podcorder-machine-") as name:
            project, results = Path(name) / "project.tar", Path(name) / "results.tar"
            _write_project(project, command, self.workloads)
            with results.open("wb") as file:
                file.truncate(_RESULTS_BYTES)
            emulate = [*COMMANDS[self.architecture], *self._options(project, results, words, disks)]
            try:
                with console.open("wb") as log:
                    subprocess.run(emulate, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=seconds)
            except FileNotFoundError:
                raise MachineFailed(f"{emulate[0]} is not installed: run make setup on a Debian.") from None
            except subprocess.TimeoutExpired:
                raise MachineFailed(f"The machine did not end within {seconds:.0f} s: {_last_of(console)}") from None
            return _read_results(results, console)

    def _options(self, project: Path, results: Path, words: str, disks: Iterable[Path]) -> list[str | Path]:
        line = (
            f"console={CONSOLES[self.architecture]} quiet panic=-1 systemd.unit=machine.service systemd.show_status=no"
            f" systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all {words}"
        )
        drives = (
            f"{self.disk},snapshot=on",
            f"{project},readonly=on",
            str(results),
            *(f"{each},readonly=on" for each in disks),
        )
        return [
            *("-accel", "tcg,thread=multi", "-smp", "2", "-m", str(_MEMORY_MEGABYTES)),
            *("-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none", "-no-reboot"),
            *("-kernel", self.kernel.image, "-initrd", self.initramfs, "-append", line),
            *(word for each in drives for word in ("-drive", f"if=virtio,format=raw,file={each}")),
        ]


def _prepare_kernel(cache: Path, kernel: Kernel) -> tuple[UnpackedKernel, Path]:
    """Its files and its initramfs."""
    root = cache / f"kernel-{kernel.name}-{_digest(KERNEL_RECIPE)}"
    if not root.exists():
        archive = Archive(cache, kernel.architecture, kernel.suites)
        archive.update()
        with _beside(root) as new:
            initramfs.write(archive, kernels.unpack(kernel, archive, new), new / "initramfs")
    return UnpackedKernel(root), root / "initramfs"


def _prepare_disk(cache: Path, architecture: str) -> Path:
    disk = cache / f"system-{architecture}-{_digest(DISK_RECIPE)}.ext4"
    if not disk.exists():
        archive = Archive(cache, architecture, systems.SUITES)
        archive.update()
        with _beside(disk) as new:
            systems.write_disk(archive, cache / "wheels", architecture, new)
    return disk


def _prepare_workloads(cache: Path, architecture: str) -> Path:
    directory = cache / f"workloads-{architecture}-{_digest(WORKLOADS_RECIPE)}"
    if not directory.exists():
        with _beside(directory) as new:
            workloads.build(Archive(cache, architecture, systems.SUITES), architecture, new)
    return directory


def _write_project(path: Path, command: str, built: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for each in SOURCES:
            archive.add(systems.PROJECT / each, f"project/{each}")
        archive.add(HERE / "guest" / "units", "etc/systemd/system")
        archive.add(built, "project/workloads", recursive=False)
        for each in filter(Path.is_file, built.iterdir()):
            archive.add(each, f"project/workloads/{each.name}")
        member = tarfile.TarInfo("project/command")
        member.size = len(command.encode())
        archive.addfile(member, io.BytesIO(command.encode()))


def _read_results(path: Path, console: Path) -> Outcome:
    try:
        with tarfile.open(path) as archive:
            found = {each.name.removeprefix("./"): archive.extractfile(each) for each in archive if each.isreg()}
            files = {name: file.read() for name, file in found.items() if file is not None}
        return Outcome(int(files.pop("exit-code")), files)
    except (tarfile.TarError, KeyError, ValueError):
        raise MachineFailed(f"The machine left no results: {_last_of(console)}") from None


def _last_of(console: Path) -> str:
    return console.read_text(errors="replace")[-4000:]


def _digest(recipe: Iterable[Path]) -> str:
    return blake2b(b"\0".join(each.read_bytes() for each in recipe), digest_size=8).hexdigest()


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A place to make what is to be at `path`: nobody finds it half made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"Making {path} ...", file=sys.stderr)
    with TemporaryDirectory(dir=path.parent) as name:
        yield Path(name) / path.name
        (Path(name) / path.name).rename(path)
