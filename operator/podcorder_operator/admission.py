"""What the API server asks before it stores a policy: does the contract take it?

The schema and its rules have refused most of what is wrong by then; here the models judge, which know all of it.
"""

from __future__ import annotations

import logging
from typing import Any

from podcorder_operator.metadata import read_metadata
from podcorder_operator.policies import encode_canonical, read_policy
from podcorder_operator.resources import Resource

logger = logging.getLogger(__name__)

MAX_SPEC_CHARACTERS = 512 * 1024
"""Longer than any spec that the contract takes. Not everybody who can reach the webhook is the API server, and to read
all that is wrong with a longer one would take seconds in which nothing else is done."""


class Denied(Exception):
    """`str()` is for the person who applied the policy."""


def review(resource: Resource, new: dict[str, Any], old: dict[str, Any] | None) -> list[str]:
    """Warnings for the person who applied the policy. Raises Denied for what the contract refuses.

    What was stored already may be kept as it is: nobody must mend a policy in order to label it. A fault of ours
    keeps nobody from applying a policy; whether the operator can use it, its status says afterwards.
    """
    if old is not None and old.get("spec") == new.get("spec"):
        return []
    if len(encode_canonical(new.get("spec"))) > MAX_SPEC_CHARACTERS:
        raise Denied(f"the spec is longer than {MAX_SPEC_CHARACTERS // 1024} KiB: no policy can be, split it up")
    try:
        metadata = read_metadata(new)
        assert metadata is not None, "the API server gives every object a name before it asks"
        problem = read_policy(resource, new, metadata).problem
    except Exception:
        logger.exception("A %s could not be reviewed and is let pass.", resource.kind)
        return ["Podcorder could not review this policy; look at its Accepted condition."]
    if problem:
        raise Denied(problem)
    return []
