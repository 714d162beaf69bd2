"""Policy files: a SessionRecordingPolicy manifest, or its bare spec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from podcorder_agent.policies.documents import Document
from podcorder_agent.policies.errors import PolicyInvalid, PolicyUnreadable
from podcorder_agent.policies.patterns import refused_patterns
from podcorder_crds import (
    CommandEvents,
    EventSelection,
    FileEvents,
    NetworkEvents,
    SessionRecordingPolicy,
    SessionRecordingPolicySpec,
)
from podcorder_crds.problems import find_problems


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy and what it is called."""

    name: str
    spec: SessionRecordingPolicySpec


EVERYTHING = Policy(
    "everything",
    SessionRecordingPolicySpec(
        events=EventSelection(commands=CommandEvents(), files=FileEvents(), network=NetworkEvents())
    ),
)
"""What `podcorder record` does without a policy file."""


def load(path: Path) -> Policy:
    """Reads and checks a policy file. Raises PolicyUnreadable and PolicyInvalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyUnreadable(
            f"cannot read the policy file {path}: {error.strerror}: check its name and rights"
        ) from None
    except UnicodeDecodeError:
        raise PolicyInvalid(f"{path} is not UTF-8 text: a policy is a YAML file") from None
    return parse(text, str(path))


def parse(text: str, name: str) -> Policy:
    """Checks a policy's text; `name` is what errors call the file. Raises PolicyInvalid."""
    document = Document(text, name)
    if not isinstance(document.data, dict):
        raise PolicyInvalid(f"{name}:1: not a policy: write a SessionRecordingPolicy or its spec")
    whole = bool({"apiVersion", "kind", "metadata", "spec"} & document.data.keys())
    model: type[BaseModel] = SessionRecordingPolicy if whole else SessionRecordingPolicySpec
    if problems := find_problems(model, document.data):
        # Of one line's problems the one about what stands there, before the one about what does not.
        first = min(problems, key=lambda each: (document.line(each.location), each.missing))
        raise PolicyInvalid(f"{name}:{document.line(first.location)}: {first.sentence}")
    if whole:
        manifest = SessionRecordingPolicy.model_validate(document.data)
        policy = Policy(manifest.metadata.name, manifest.spec)
    else:
        policy = Policy(Path(name).stem, SessionRecordingPolicySpec.model_validate(document.data))
    for location, sentence in refused_patterns(policy.spec):
        raise PolicyInvalid(f"{name}:{document.line((*(['spec'] if whole else []), *location))}: {sentence}")
    return policy
