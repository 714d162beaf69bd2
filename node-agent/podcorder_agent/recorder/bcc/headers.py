"""The node's kernel headers: what describes a kernel's types where it does not do so itself."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from podcorder_agent.recorder.errors import HeadersMissing

MODULES = Path("/lib/modules")
VARIABLE = "BCC_KERNEL_SOURCE"
_ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm64"}
_RELEASE = Path("include/generated/utsrelease.h")
_SETTINGS = Path("include/generated/autoconf.h")
_FIRST = Path("include/linux/kconfig.h")
_RANDOM_LAYOUT = re.compile(r"^#define CONFIG_(RANDSTRUCT|RANDSTRUCT_FULL|GCC_PLUGIN_RANDSTRUCT) 1$", re.MULTILINE)


class Headers(NamedTuple):
    """Two trees, which are often one; Debian splits them."""

    built: Path
    """With what was made for the kernel's configuration, in include/generated."""
    source: Path
    """With what all kernels of the version share, in include/linux."""

    def include_flags(self) -> list[str]:
        """In the order of the kernel's own build (its Makefile, LINUXINCLUDE)."""
        own = f"arch/{_ARCHITECTURES[os.uname().machine]}/include"
        places = [
            *(self.source / own, self.built / own / "generated", self.source / "include", self.built / "include"),
            *(self.source / own / "uapi", self.built / own / "generated/uapi"),
            *(self.source / "include/uapi", self.built / "include/generated/uapi"),
        ]
        return [f"-I{each}" for each in places]


def find_headers(modules: Path = MODULES) -> Headers:
    """The running kernel's, from BCC_KERNEL_SOURCE or else where distributions put them; raises HeadersMissing.

    BCC_KERNEL_SOURCE is a tree, or a directory with `build` and `source` as /lib/modules/RELEASE has them.
    """
    release = os.uname().release
    place = Path(os.environ.get(VARIABLE) or modules / release).absolute()
    built = _resolve(place / "build" if (place / "build").exists() else place)
    source = _resolve(place / "source" if (place / "source").exists() else built)
    headers = Headers(built, source)
    for path in (built / _RELEASE, built / _SETTINGS, source / _FIRST):
        if not path.exists():
            raise HeadersMissing(
                f"The headers of Linux {release} are not in {place} (no {path}): "
                f"install them (Debian: linux-headers-{release}), or name their directory in {VARIABLE}."
            )
    _check_kernel(headers, release)
    return headers


def _check_kernel(headers: Headers, release: str) -> None:
    """What they say of another kernel would be wrong in silence."""
    found = re.search(r'UTS_RELEASE "(.*)"', (headers.built / _RELEASE).read_text())
    if found is None or found[1] != release:
        of = found[1] if found else "no kernel"
        raise HeadersMissing(f"The headers in {headers.built} are of Linux {of}, and this is {release}: install those.")
    if _RANDOM_LAYOUT.search((headers.built / _SETTINGS).read_text()):
        raise HeadersMissing(
            f"The headers in {headers.built} do not tell where fields are: "
            "the kernel was built with structures in random order. Boot one with CONFIG_RANDSTRUCT_NONE=y or with BTF."
        )


def _resolve(path: Path) -> Path:
    return path.resolve() if path.exists() else path
