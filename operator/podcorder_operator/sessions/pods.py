"""Pods, as far as it matters who gets into them. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from podcorder_operator.metadata import read_labels, read_mapping, read_metadata, read_text


@dataclass(frozen=True, slots=True)
class Pod:
    name: str
    uid: str
    labels: Mapping[str, str]
    node: str
    """Empty: it has none yet, and nobody can get into it."""
    containers: tuple[str, ...]
    """The names of its containers proper: with one alone a request need not name it."""
    ephemeral: frozenset[str]
    """The names of its ephemeral containers."""
    others: frozenset[str]
    """The names of its init containers, sidecars among them."""

    @property
    def all_containers(self) -> tuple[str, ...]:
        return (*self.containers, *sorted(self.others), *sorted(self.ephemeral))


def read_pod(raw: Mapping[str, Any]) -> Pod | None:
    """None for what is no pod."""
    metadata, spec = read_metadata(raw), read_mapping(raw.get("spec"))
    if metadata is None:
        return None
    return Pod(
        metadata.name,
        metadata.uid,
        read_labels(raw),
        read_text(spec.get("nodeName")),
        tuple(_names(spec.get("containers"))),
        frozenset(_names(spec.get("ephemeralContainers"))),
        frozenset(_names(spec.get("initContainers"))),
    )


def _names(containers: Any) -> Iterator[str]:
    for each in containers if isinstance(containers, list) else ():
        if name := read_text(read_mapping(each).get("name")):
            yield name
