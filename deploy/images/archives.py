"""An image as an archive: an OCI layout, with the manifest that `docker load` reads beside it."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.trees import Layer, digest_of

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, slots=True)
class Image:
    """What becomes an archive."""

    reference: str
    """Name and tag."""
    architecture: str
    created: str
    """RFC 3339."""
    settings: dict[str, Any]
    """The `config` of OCI's image configuration: user, environment, entrypoint, labels."""
    layers: dict[str, Layer]
    """The lowest first, by what they hold."""


def write(image: Image, path: Path, time: int) -> str:
    """Write the archive, its files with this time; returns the manifest's digest, which names the image."""
    config = _to_json(_describe(image))
    blobs = {digest_of(config): config, **{layer.digest: layer.blob for layer in image.layers.values()}}
    manifest = _to_json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)},
            "layers": [
                {"mediaType": _LAYER, "digest": layer.digest, "size": len(layer.blob)}
                for layer in image.layers.values()
            ],
        }
    )
    digest = digest_of(manifest)
    blobs[digest] = manifest
    index = {
        "schemaVersion": 2,
        "mediaType": _INDEX,
        "manifests": [
            {
                "mediaType": _MANIFEST,
                "digest": digest,
                "size": len(manifest),
                "platform": {"os": "linux", "architecture": image.architecture},
                "annotations": {
                    "io.containerd.image.name": image.reference,
                    "org.opencontainers.image.ref.name": image.reference.rpartition(":")[2],
                },
            }
        ],
    }
    docker = {
        "Config": _blob_path(digest_of(config)),
        "RepoTags": [image.reference],
        "Layers": [_blob_path(layer.digest) for layer in image.layers.values()],
    }
    files = {
        "oci-layout": _to_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _to_json(index),
        "manifest.json": _to_json([docker]),
        **{_blob_path(name): blob for name, blob in sorted(blobs.items())},
    }
    # Whoever reads the archive of an earlier build goes on reading that one.
    new = path.with_suffix(".new")
    with tarfile.open(new, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), time
            archive.addfile(member, io.BytesIO(data))
    new.replace(path)
    return digest


def _describe(image: Image) -> dict[str, Any]:
    return {
        "created": image.created,
        "architecture": image.architecture,
        "os": "linux",
        "config": image.settings,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers.values()]},
        "history": [{"created": image.created, "created_by": what} for what in image.layers],
    }


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
