"""What is in an image, as a CycloneDX 1.6 document."""

from __future__ import annotations

import json
import re
from datetime import datetime
from email.message import Message
from typing import Any
from urllib.parse import quote

from images.debian import Package
from images.wheels import Wheel


def describe(
    name: str, version: str, digest: str, time: datetime, packages: list[Package], wheels: list[Wheel]
) -> bytes:
    """The document; `digest` is the image's."""
    components = [*map(_describe_package, packages), *map(_describe_wheel, wheels)]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": time.isoformat(),
            "component": {
                "type": "container",
                "bom-ref": f"{name}@{digest}",
                "name": name,
                "version": version,
                "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
            },
        },
        "components": sorted(components, key=lambda component: str(component["bom-ref"])),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def _describe_package(package: Package) -> dict[str, Any]:
    pin = package.pin
    source = package.control.get("Source", pin.name).split()[0]
    url = f"pkg:deb/debian/{quote(pin.name)}@{quote(pin.version)}?arch={pin.architecture}&distro=debian-12"
    return {
        **_describe(url, pin.name, pin.version, pin.digest),
        "supplier": {"name": package.control["Maintainer"]},
        "properties": [{"name": "debian:source", "value": source}],
    }


def _describe_wheel(wheel: Wheel) -> dict[str, Any]:
    name, version = wheel.metadata["Name"], wheel.metadata["Version"]
    url = f"pkg:pypi/{re.sub('[-_.]+', '-', name).lower()}@{quote(version)}"
    licence = _find_licence(wheel.metadata)
    return {**_describe(url, name, version, wheel.digest), **({"licenses": [licence]} if licence else {})}


def _describe(url: str, name: str, version: str, digest: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": url,
        "name": name,
        "version": version,
        "purl": url,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def _find_licence(metadata: Message) -> dict[str, Any] | None:
    """An SPDX expression where there is one, else the name that a classifier gives."""
    if expression := metadata.get("License-Expression"):
        return {"expression": expression}
    for classifier in metadata.get_all("Classifier", []):
        if classifier.startswith("License :: "):
            return {"license": {"name": classifier.rpartition(" :: ")[2]}}
    return None
