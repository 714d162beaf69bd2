"""What is in each image, and what is not."""

from __future__ import annotations

from dataclasses import dataclass, replace

REGISTRY = "podcorder.dev"
"""First part of the images' names."""
ARCHITECTURES = ("amd64", "arm64")
"""By the names that Debian and OCI share."""
PYTHON = "3.11"
"""Debian 12's."""
USER = 61110
"""User and group of whatever the manifest gives no other user to; the exporter's."""

_COMMON_PACKAGES = (
    "base-files",
    "ca-certificates",
    "gcc-12-base",  # the licence of libgcc-s1
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libssl3",
    "libstdc++6",
    "libuuid1",
    "media-types",
    "python3.11-minimal",
    "zlib1g",
)

_COMMON_UNNEEDED = (
    # Documentation, but no licence.
    "usr/share/doc/*/[!c]*",
    "usr/share/doc/*/c[!o]*",
    "usr/share/doc-base/*",
    "usr/share/info/*",
    "usr/share/lintian/*",
    "usr/share/locale/*",
    "usr/share/man/*",
    "usr/share/binfmts/*",
    # Nobody logs in, boots or administers.
    "boot",
    "etc/ca-certificates",
    "etc/ca-certificates/*",
    "etc/default",
    "etc/dpkg",
    "etc/dpkg/*",
    "etc/issue*",
    "etc/profile.d",
    "etc/skel",
    "etc/update-motd.d",
    "etc/update-motd.d/*",
    "etc/python3.11",
    "etc/python3.11/*",
    "home",
    "sbin",
    "usr/games",
    "usr/include",
    "usr/sbin/*",
    "usr/share/base-files/*",
    "usr/share/gdb/*",
    "usr/src",
    "var/backups",
    # Python has its own character sets.
    "usr/lib/*/gconv/*",
    # For debuggers and profilers.
    "usr/lib/*/audit/*",
    "usr/lib/*/libc_malloc_debug.*",
    "usr/lib/*/libmemusage.*",
    "usr/lib/*/libpcprofile.*",
    "usr/lib/*/libthread_db.*",
    # Modules whose libraries are not there: databases, terminals, NIS.
    "usr/lib/python3.11/lib-dynload/_curses*",
    "usr/lib/python3.11/lib-dynload/_dbm*",
    "usr/lib/python3.11/lib-dynload/_sqlite3*",
    "usr/lib/python3.11/lib-dynload/nis*",
    "usr/lib/python3.11/lib-dynload/readline*",
    "usr/lib/python3.11/curses/*",
    "usr/lib/python3.11/dbm/*",
    "usr/lib/python3.11/sqlite3/*",
    # What only developers use.
    "usr/lib/python3.11/pydoc_data/*",
    "usr/lib/python3.11/sitecustomize.py",
    "usr/lib/python3.11/test/*",
    "usr/lib/python3.11/turtle.py",
    "usr/lib/python3.11/venv/*",
    "usr/lib/python3.11/lib-dynload/_test*",
    "usr/lib/python3.11/lib-dynload/_ctypes_test*",
    "usr/lib/python3.11/lib-dynload/xxlimited*",
    "usr/local/lib/python3.11/dist-packages/*.pyi",
    "usr/local/lib/python3.11/dist-packages/*/tests/*",
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One image. Patterns are of `fnmatch`, for whole paths without the first slash."""

    name: str
    description: str
    base_packages: tuple[str, ...]
    """Debian packages, all of them: what these depend on is named as well, or left out on purpose."""
    requirements: str
    """File in requirements/ that pins what comes from PyPI."""
    script: str
    """The one command of the project that is on the PATH."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    unneeded: tuple[str, ...]
    uncompiled: tuple[str, ...] = ()
    """Python sources without bytecode, because they are not loaded."""
    variant: str = ""
    """What sets it apart from the image of the same name without one, at the end of its tag."""
    variant_packages: tuple[str, ...] = ()
    """Debian packages that a variant has in addition, in a layer of their own: the others it shares."""

    @property
    def title(self) -> str:
        """Name and variant."""
        return _join(self.name, self.variant)

    @property
    def packages(self) -> tuple[str, ...]:
        """All Debian packages of the image."""
        return (*self.base_packages, *self.variant_packages)

    def tag(self, version: str) -> str:
        """The image's, for a version of the project."""
        return _join(version, self.variant)


def _join(first: str, variant: str) -> str:
    return f"{first}-{variant}" if variant else first


AGENT = Recipe(
    name="podcorder-agent",
    description="The recorder and the exporter of one node",
    base_packages=(*_COMMON_PACKAGES, "libbpf1", "libelf1"),
    requirements="agent.txt",
    script="podcorder",
    entrypoint=(),
    command=("podcorder", "--help"),
    unneeded=(*_COMMON_UNNEEDED, "usr/local/lib/python3.11/dist-packages/podcorder_operator/*"),
)
COMPILING_AGENT = replace(
    AGENT,
    variant="bcc",
    description=f"{AGENT.description}, with a compiler of BPF programs",
    variant_packages=(
        "libbpfcc",
        "libbsd0",
        "libclang-cpp14",
        "libedit2",
        "libicu72",
        "libllvm14",
        "libmd0",
        "libtinfo6",
        "libxml2",
        "libz3-4",
        "python3-bpfcc",
    ),
    unneeded=(
        *AGENT.unneeded,
        # Of ICU libxml2 wants characters alone.
        "usr/lib/*/libicui18n.*",
        "usr/lib/*/libicuio.*",
        "usr/lib/*/libicutest.*",
        "usr/lib/*/libicutu.*",
    ),
)
OPERATOR = Recipe(
    name="podcorder-operator",
    description="The operator, which says what each node records",
    base_packages=_COMMON_PACKAGES,
    requirements="operator.txt",
    script="podcorder-operator",
    entrypoint=("podcorder-operator",),
    command=(),
    unneeded=(*_COMMON_UNNEEDED, "usr/local/lib/python3.11/dist-packages/podcorder_agent/*"),
    uncompiled=(
        "usr/local/lib/python3.11/dist-packages/kubernetes/*/api/*",
        "usr/local/lib/python3.11/dist-packages/kubernetes/aio/client/models/[!_]*",
    ),
)
RECIPES = {recipe.title: recipe for recipe in (AGENT, COMPILING_AGENT, OPERATOR)}
