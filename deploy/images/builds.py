"""One image: what is fetched becomes layers, and these an archive with its SBOM beside it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images import archives, bytecode, debian, sboms, wheels
from images.apt import Apt
from images.archives import Image
from images.debian import Package
from images.locks import Lock
from images.recipes import REGISTRY, USER, Recipe
from images.trees import Tree
from images.wheels import Wheel


@dataclass(frozen=True, slots=True)
class Built:
    reference: str
    architecture: str
    archive: Path
    digest: str
    size: int
    """Bytes, unpacked."""


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes images of one project for one architecture."""

    project: Path
    lock: Lock
    architecture: str
    apt: Apt
    cache: Path
    output: Path
    accept_newer: bool

    @property
    def time(self) -> int:
        """Of every file: seconds since 1970."""
        return int(self.lock.time.timestamp())

    def build(self, recipe: Recipe, own: Wheel) -> Built:
        """Write the image's archive and its SBOM; raises ImageError."""
        base, more = self._fetch(recipe.base_packages), self._fetch(recipe.variant_packages)
        requirements = self.project / "requirements" / recipe.requirements
        dependencies = wheels.fetch(requirements, self.architecture, self.cache / "wheels")
        settings = tomllib.loads((self.project / "pyproject.toml").read_text())["project"]
        system, variant, libraries, project = Tree(), Tree(), Tree(), Tree()
        debian.unpack(base, system)
        wheels.unpack(dependencies, libraries)
        wheels.unpack([own], project)
        wheels.add_script(recipe.script, settings["scripts"][recipe.script], project)
        trees = {"Debian packages": system, f"requirements/{recipe.requirements}": libraries}
        if more:
            debian.unpack_above(more, base, variant)
            trees[f"Debian packages for {recipe.variant}"] = variant
        trees["podcorder"] = project
        for tree in trees.values():
            tree.remove(recipe.unneeded)
            bytecode.compile_sources(tree, recipe.uncompiled)
        layers = {what: tree.make_layer(self.time) for what, tree in trees.items()}
        tag = recipe.tag(settings["version"])
        created = self.lock.time.isoformat()
        configuration = _configure(recipe, tag, settings["license"], created)
        image = Image(f"{REGISTRY}/{recipe.name}:{tag}", self.architecture, created, configuration, layers)
        stem = f"{recipe.name}-{tag}-{self.architecture}"
        archive = self.output / f"{stem}.tar"
        digest = archives.write(image, archive, self.time)
        document = sboms.describe(
            f"{REGISTRY}/{recipe.name}", tag, digest, self.lock.time, [*base, *more], [*dependencies, own]
        )
        (self.output / f"{stem}.cdx.json").write_bytes(document)
        return Built(image.reference, self.architecture, archive, digest, sum(layer.size for layer in layers.values()))

    def _fetch(self, packages: tuple[str, ...]) -> list[Package]:
        pins = self.lock.select(self.architecture, packages)
        return debian.fetch(pins, self.cache / "packages", self.apt, accept_newer=self.accept_newer)


def _configure(recipe: Recipe, tag: str, licence: str, created: str) -> dict[str, Any]:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin",
        **debian.ENVIRONMENT,
        "PYTHONDONTWRITEBYTECODE": "1",
        # Nobody's working directory is a place of modules.
        "PYTHONSAFEPATH": "1",
    }
    labels = {
        "created": created,
        "title": recipe.name,
        "description": recipe.description,
        "version": tag,
        "licenses": licence,
    }
    return {
        "User": f"{USER}:{USER}",
        "Env": [f"{name}={value}" for name, value in environment.items()],
        **({"Entrypoint": list(recipe.entrypoint)} if recipe.entrypoint else {}),
        **({"Cmd": list(recipe.command)} if recipe.command else {}),
        "WorkingDir": "/",
        "Labels": {f"org.opencontainers.image.{name}": value for name, value in labels.items()},
    }
