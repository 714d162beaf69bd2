"""How the kubelet expands `$(NAME)` in the command of an exec probe. Pure.

Only what stands in the container's `env` counts, as it stands there: a variable with `valueFrom` is empty, one from
`envFrom` is unknown and left as it is, and what a value refers to itself is not looked up (Kubernetes 1.37,
`ExpandContainerCommandOnlyStatic` in pkg/kubelet/container/helpers.go). Commands of lifecycle hooks run as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|\((?P<name>[^)]*)\))")


def expand(word: str, variables: Mapping[str, str]) -> str:
    """The word with the values of the variables that it refers to; `$$` is a dollar, the rest stays as it is."""

    def replace(found: re.Match[str]) -> str:
        return "$" if found["escaped"] else variables.get(found["name"], found[0])

    return _REFERENCE.sub(replace, word)
