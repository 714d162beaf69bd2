"""Names, as Kubernetes has them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from podcorder_crds.rules import pattern

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"

LabelName = Annotated[
    str,
    Field(min_length=1, max_length=63),
    pattern(rf"^{_LABEL}$", "is not a name: write lower-case letters, digits and -, with no - first or last"),
]
"""A DNS label: the name of a namespace, of a rule."""

ObjectName = Annotated[
    str,
    Field(min_length=1, max_length=253),
    pattern(
        rf"^{_LABEL}([.]{_LABEL})*$",
        "is not a name: write lower-case letters, digits, - and ., with a letter or a digit first and last",
    ),
]
"""A DNS subdomain: the name of most objects, such as pods and nodes."""

ContainerPattern = Annotated[
    str,
    Field(min_length=1, max_length=255),
    pattern(
        r"^[A-Za-z0-9*?][-A-Za-z0-9_.*?]*$",
        "is not the name of a container: write letters, digits, -, _ and ., with * for any characters and ? for one",
    ),
]

Uid = Annotated[str, Field(min_length=1, max_length=128)]
"""What Kubernetes tells objects of the same name apart by."""

Generation = Annotated[int, Field(strict=True, ge=0, le=2**53)]
"""metadata.generation of something."""
