"""What the API server asks about sessions is read as it was meant, and nothing else is taken for it."""

from __future__ import annotations

from typing import Any

import pytest
from fixtures.session_reviews import NAMESPACE, POD, USER, make_body, make_exec

from podcorder_operator.sessions.reviews import Garbled, Verdict, read_review, write_answer


def test_read() -> None:
    """Source, pod and user are those of the request."""
    review = read_review(make_body("pods/exec", {"command": ["ls"]}, dryRun=True))
    assert (review.uid, review.source, review.namespace, review.name) == ("review-1", "pods/exec", NAMESPACE, POD)
    assert (review.user, review.dry_run, review.old) == (USER, True, {})


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"request": {}},
        make_body("pods/exec", {}) | {"apiVersion": "admission.k8s.io/v1beta1"},
        make_body("pods/exec", {}, operation="UPDATE"),
        make_body("pods/exec", {}, resource={"group": "apps", "resource": "pods"}),
        make_body("pods/exec", {}, resource=None),
        make_body("pods/exec", {}, subResource=["exec"]),
        make_body("pods/exec", {}, uid=""),
    ],
)
def test_garbled(body: Any) -> None:
    """Whatever is no question about a session is refused, and breaks nothing."""
    with pytest.raises(Garbled):
        read_review(body)


def test_answers() -> None:
    """A refusal is forbidden with its sentence; records are told to the audit log."""
    allowed = write_answer(make_exec("ls"), Verdict("announced", records=("shop/a", "shop/b")))["response"]
    assert allowed == {
        "uid": "review-1",
        "allowed": True,
        "auditAnnotations": {"request": "review-1", "records": "shop/a,shop/b"},
    }
    refused = write_answer(make_exec("ls"), Verdict("refused", refusal="No."))["response"]
    assert refused["allowed"] is False
    assert (refused["status"]["code"], refused["status"]["message"]) == (403, "No.")
