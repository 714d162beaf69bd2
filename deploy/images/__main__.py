"""`python -m images build` makes the images, `python -m images pin` pins their Debian packages anew."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from images import wheels
from images.apt import Apt, find_sources
from images.builds import Builder
from images.caches import open_cache
from images.commands import run
from images.errors import ImageError
from images.locks import Lock
from images.recipes import ARCHITECTURES, RECIPES

PROJECT = Path(__file__).parent.parent.parent
LOCK = Path(__file__).parent / "debian.lock"


def main() -> int:
    arguments = _parse()
    try:
        with open_cache("images") as cache:
            if arguments.command == "pin":
                pin(cache, arguments.sources)
            else:
                build(cache, arguments)
    except ImageError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def build(cache: Path, arguments: argparse.Namespace) -> None:
    """Make the images and print a line for each: name, architecture, digest, bytes unpacked, archive."""
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    lock = Lock.read(LOCK)
    with TemporaryDirectory() as temporary:
        own = wheels.build(PROJECT, Path(temporary), int(lock.time.timestamp()))
        for architecture in arguments.architecture or [run("dpkg", "--print-architecture").decode().strip()]:
            apt = Apt(cache / f"apt-{architecture}", architecture, arguments.sources)
            builder = Builder(PROJECT, lock, architecture, apt, cache, output, arguments.accept_newer)
            for name in arguments.image or RECIPES:
                made = builder.build(RECIPES[name], own)
                print(made.reference, made.architecture, made.digest, made.size, made.archive, flush=True)


def pin(cache: Path, sources: Path) -> None:
    """Write debian.lock with what the archive offers now."""
    names = sorted({name for recipe in RECIPES.values() for name in recipe.packages})
    pins, times = [], []
    for architecture in ARCHITECTURES:
        apt = Apt(cache / f"apt-{architecture}", architecture, sources)
        apt.update()
        pins += [versions[0] for versions in apt.offered(names).values()]
        times.append(apt.published())
    Lock(max(times), tuple(pins)).write(LOCK)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="images", description=__doc__)
    parser.add_argument(
        "--sources", type=Path, default=find_sources(), help="apt's file of Debian's sources (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("pin", help="write debian.lock with the versions that are offered now")
    building = commands.add_parser("build", help="make the images, each with its SBOM")
    building.add_argument("--output", type=Path, default=PROJECT / "build" / "images")
    building.add_argument("--architecture", choices=ARCHITECTURES, action="append", help="default: the machine's")
    building.add_argument("--image", choices=tuple(RECIPES), action="append", help="default: all of them")
    building.add_argument(
        "--accept-newer", action="store_true", help="take a newer package where the pinned one is not offered any more"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
