"""YAML documents whose every value knows its line, so that an error can name it."""

from __future__ import annotations

from typing import Any

import yaml

from podcorder_agent.policies.errors import PolicyInvalid

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32

Location = tuple[str | int, ...]


class Document:
    """One YAML document: `data` as plain values, and where each of them stands."""

    def __init__(self, text: str, name: str) -> None:
        """`name` is what errors call the file. Raises PolicyInvalid for what is not one plain YAML document."""
        self.name = name
        self._lines: dict[Location, int] = {(): 1}
        self._seen: set[int] = set()
        if len(text) > MAX_BYTES:
            raise PolicyInvalid(f"{name} is larger than {MAX_BYTES // 1024} KiB: a policy is a short file")
        try:
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            if root is None:
                raise PolicyInvalid(f"{name} is empty: write a SessionRecordingPolicy or its spec into it")
            self.data = self._value(loader, root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise PolicyInvalid(f"{name}:{line}: not YAML: {error.problem or error.context}") from None
        except (yaml.YAMLError, ValueError) as error:
            raise PolicyInvalid(f"{name}: not YAML: {' '.join(str(error).split())}") from None
        except RecursionError:
            raise PolicyInvalid(f"{name} is nested too deep: a policy is a flat thing") from None

    def line(self, location: Location) -> int:
        """The line of the value at `location`, or of the nearest thing around it."""
        while location not in self._lines:
            location = location[:-1]
        return self._lines[location]

    def _value(self, loader: yaml.SafeLoader, node: yaml.Node, location: Location) -> Any:
        line = node.start_mark.line + 1
        self._lines.setdefault(location, line)
        # Aliases of aliases grow without bound, so none is followed.
        if id(node) in self._seen:
            raise PolicyInvalid(f"{self.name}:{line}: an alias (*name) is used: write the value out")
        self._seen.add(id(node))
        if len(location) > MAX_DEPTH:
            raise PolicyInvalid(f"{self.name}:{line}: nested too deep: a policy is a flat thing")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(loader, item, (*location, index)) for index, item in enumerate(node.value)]
        value = loader.construct_object(node)
        if value is None:
            what = ".".join(map(str, location)) or self.name
            raise PolicyInvalid(
                f"{self.name}:{line}: {what} has no value: write {{}} for everything of it, or remove it"
            )
        return value

    def _mapping(self, loader: yaml.SafeLoader, node: yaml.MappingNode, location: Location) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = loader.construct_object(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str) or key_node.tag == "tag:yaml.org,2002:merge":
                raise PolicyInvalid(f"{self.name}:{line}: a field's name must be a plain word: write it out")
            if key in mapping:
                raise PolicyInvalid(f"{self.name}:{line}: {key} stands there twice: remove one")
            self._lines[(*location, key)] = line
            mapping[key] = self._value(loader, value_node, (*location, key))
        return mapping
