from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from fixtures.recorded_events import lets_path_through

from podcorder_crds import ClusterSessionRecordingPolicySpec, EventSelection, RecordingSpec, SessionRecordingPolicySpec
from podcorder_crds.combination import combine

DOCUMENT = Path(__file__).parents[3] / "docs/policies.md"
MODELS: dict[str, type[RecordingSpec]] = {
    "SessionRecordingPolicy": SessionRecordingPolicySpec,
    "ClusterSessionRecordingPolicy": ClusterSessionRecordingPolicySpec,
}


def blocks() -> list[dict[str, Any]]:
    """The YAML that docs/policies.md shows, in its order."""
    return [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)]


def policies() -> dict[str, RecordingSpec]:
    return {
        each["metadata"]["name"]: MODELS[each["kind"]].model_validate(each["spec"])
        for each in blocks()
        if "kind" in each
    }


def test_nested_filters_do_what_the_document_says() -> None:
    """The document's example of nested prefixes records just those paths that it names."""
    files = policies()["configuration"].events.files
    assert files is not None
    found = [
        path
        for path in ("/etc/passwd", "/etc/ssl/openssl.cnf", "/etc/ssl/private/key.pem")
        if lets_path_through(files.paths, path)
    ]
    assert found == ["/etc/passwd", "/etc/ssl/private/key.pem"]


def test_the_combination_is_the_one_shown() -> None:
    """The document's two policies together are what it says they are."""
    shown = next(EventSelection.model_validate(each["events"]) for each in blocks() if "kind" not in each)
    known = policies()
    assert combine([known["secrets"], known["baseline"]]).events == shown
