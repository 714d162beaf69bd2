"""Redaction patterns that the contract accepts and the agent's engine does not."""

from __future__ import annotations

from collections.abc import Iterator

from podcorder_crds import RecordingSpec
from podcorder_redaction import Pattern

Location = tuple[str | int, ...]


def refused_patterns(spec: RecordingSpec) -> Iterator[tuple[Location, str]]:
    """Where in the spec a pattern stands that cannot be used, and why: one sentence."""
    for index, rule in enumerate(spec.redaction.rules):
        try:
            Pattern(rule.pattern)
        except ValueError as error:
            location = ("redaction", "rules", index, "pattern")
            yield location, f"the redaction pattern {rule.pattern[:80]!r} cannot be used: {error}"
