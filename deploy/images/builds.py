"""One image: what is fetched becomes layers, and these an archive with its SBOM beside it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images import archives, bytecode, debian, sboms, wheels
from images.apt import Apt
from images.archives import Image
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
        pins = self.lock.select(self.architecture, recipe.packages)
        packages = debian.fetch(pins, self.cache / "packages", self.apt, accept_newer=self.accept_newer)
        requirements = self.project / "requirements" / recipe.requirements
        dependencies = wheels.fetch(requirements, self.architecture, self.cache / "wheels")
        settings = tomllib.loads((self.project / "pyproject.toml").read_text())["project"]
        system, libraries, project = Tree(), Tree(), Tree()
        debian.unpack(packages, system)
        wheels.unpack(dependencies, libraries)
        wheels.unpack([own], project)
        wheels.add_script(recipe.script, settings["scripts"][recipe.script], project)
        for tree in (system, libraries, project):
            tree.remove(recipe.unneeded)
            bytecode.compile_sources(tree, recipe.uncompiled)
        layers = {
            "Debian packages": system.make_layer(self.time),
            f"requirements/{recipe.requirements}": libraries.make_layer(self.time),
            "podcorder": project.make_layer(self.time),
        }
        reference = f"{REGISTRY}/{recipe.name}:{settings['version']}"
        created = self.lock.time.isoformat()
        image = Image(reference, self.architecture, created, _configure(recipe, settings, created), layers)
        stem = f"{recipe.name}-{settings['version']}-{self.architecture}"
        archive = self.output / f"{stem}.tar"
        digest = archives.write(image, archive, self.time)
        document = sboms.describe(
            f"{REGISTRY}/{recipe.name}", settings["version"], digest, self.lock.time, packages, [*dependencies, own]
        )
        (self.output / f"{stem}.cdx.json").write_bytes(document)
        return Built(reference, self.architecture, archive, digest, sum(layer.size for layer in layers.values()))


def _configure(recipe: Recipe, project: dict[str, Any], created: str) -> dict[str, Any]:
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
        "version": project["version"],
        "licenses": project["license"],
    }
    return {
        "User": f"{USER}:{USER}",
        "Env": [f"{name}={value}" for name, value in environment.items()],
        **({"Entrypoint": list(recipe.entrypoint)} if recipe.entrypoint else {}),
        **({"Cmd": list(recipe.command)} if recipe.command else {}),
        "WorkingDir": "/",
        "Labels": {f"org.opencontainers.image.{name}": value for name, value in labels.items()},
    }
