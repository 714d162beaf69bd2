from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from podcorder_crds import RedactionRule


def accepts(pattern: str) -> bool:
    try:
        RedactionRule.model_validate({"name": "a", "pattern": pattern})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    "pattern",
    [
        "secret",
        r"(?i)--api-key[= ](\S+)",
        r"customer=(\d+)",
        r"[A-Z]{2}\d{2}(?: ?[0-9]{4}){3,7}",
        r"^sk-[\w-]{20,}$",
        r"(?P<key>key|token)\s*[:=]\s*\"?([^\"\s]+)",
        r"\{\"pin\": ?(\d{4})\}",
        r"[^\]]+\]",
        r"\bäöü\b|é?",
        r"a*?b+?c??d{1,2}?",
        r"\x41[\x00-\x1f\-]",
    ],
)
def test_ordinary_patterns_are_taken(pattern: str) -> None:
    """Groups, classes, repetitions, anchors and escapes that RE2 and Python share are all there for users."""
    re.compile(pattern)
    assert accepts(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(?=a)", r"(?!a)", r"(?<=a)b", r"(?<!a)b"),
        *(r"(a)\1", r"(?P<n>a)(?P=n)", r"(a)?(?(1)b|c)"),
        *("(?>a)", "a*+", "a++", "a?+", "a{2}+", "(?#note)a", "(?x)a", "(?a)a", "a(?i)b", "(?i:a)", r"a\Z", r"\z"),
        *(r"\u0041", r"\N{BULLET}", r"\p{L}", r"\Qa\E", r"\Ca", "[[:alpha:]]", r"[\w-.]", "a{,3}", "{", "a{1001}"),
        *("(", ")", "[", "a**", "*", "^*", "(|*)", "a{3,2}", "[z-a]", "(?P<1>a)", "\\"),
    ],
)
def test_what_one_engine_alone_knows_is_refused(pattern: str) -> None:
    """Neither syntax that RE2 refuses, nor such that Python refuses or reads otherwise, gets into a policy."""
    assert not accepts(pattern)


@given(st.text(st.sampled_from("ab01(){}[]?*+|^$.\\-:,=!<>PiswdbZA\n é"), min_size=1, max_size=12))
def test_whatever_is_taken_compiles(pattern: str) -> None:
    """Every pattern that the contract accepts is one of Python's `re`, as text and as bytes."""
    if accepts(pattern):
        re.compile(pattern)
        re.compile(pattern.encode())
