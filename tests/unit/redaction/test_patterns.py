"""Users' patterns find what Python's `re` finds, which the contract's grammar is shared with."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_crds import RedactionRule
from podcorder_redaction import Redaction
from podcorder_redaction.patterns import Pattern, Work

_letters = st.sampled_from("abk0-=: ")
_classes = st.sampled_from(("[a-k]", "[^ab]", r"[\w-]", "[0-9=]", r"\w", r"\W", r"\d", r"\D", r"\S", ".", r"\x61"))
_atoms = _letters | _classes
_quantifiers = st.sampled_from(("", "", "+", "*", "?", "{2}", "{1,3}", "{2,}", "+?", "*?", "??", "{1,2}?"))
_pieces = st.tuples(_atoms, _quantifiers).map("".join)
_anchors = st.sampled_from(("", "", "", "^", r"\b", r"\B", r"\A"))
# Of a group that can match nothing, repeated, the engines report different last rounds.
_runs = st.tuples(_anchors, _atoms, st.lists(_pieces, max_size=3).map("".join)).map("".join)
_choices = st.lists(_runs, min_size=1, max_size=3).map("|".join)
_groups = st.tuples(
    st.sampled_from(("(", "(?:", "(?P<key>")), _choices, st.sampled_from((")", ")", ")+", "){2}", ")+?"))
).map("".join)
patterns = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(("", "(?i)", "(?s)", "(?m)", "(?ims)")),
        st.lists(_pieces, max_size=2).map("".join),
        _groups | _runs,
        st.lists(_pieces, max_size=2).map("".join),
        st.sampled_from(("", "", "$", r"\b")),
    ),
)
texts = (
    st.text(st.sampled_from("abkABK0-=: \n\x00\x1b"), max_size=24)
    .map(str.encode)
    .filter(lambda text: not text.endswith(b"\n"))
)


@given(patterns, texts)
def test_both_engines_find_the_same(pattern: str, text: bytes) -> None:
    """Of every pattern that the contract accepts, on bytes, the same spans."""
    RedactionRule.model_validate({"name": "a", "pattern": pattern})
    compiled = re.compile(pattern.encode())
    expected = [match.span(1 if compiled.groups else 0) for match in compiled.finditer(text)]
    found = list(Pattern(pattern).spans(text, Work(len(text))))
    assert found == [(first, last) for first, last in expected if first < last]


@pytest.mark.parametrize(
    "pattern", ["[ab]*a[ab]{300}c", "a[ab]{500}(c|d)", "([ab]{9}a[ab]{9})+", "(?:a|b)*(ba{3}|ab{4}c)"]
)
def test_what_outgrows_its_memory_finds_the_same(pattern: str) -> None:
    """Where the automaton would be too large RE2 goes another way, to the same end."""
    chance = random.Random(1)
    text = b"c".join(bytes(chance.choices(b"ab", k=3000)) for _ in range(3))
    compiled = re.compile(pattern.encode())
    expected = [match.span(1 if compiled.groups else 0) for match in compiled.finditer(text)]
    assert list(Pattern(pattern).spans(text, Work(1 << 20))) == expected


@given(patterns, st.lists(texts, max_size=4))
def test_what_matches_in_an_argument_is_taken_out(pattern: str, arguments: list[bytes]) -> None:
    """Nothing of what a pattern finds in one argument, seen alone, stays there."""
    work = Work(100)
    argv = b"".join(each + b"\0" for each in arguments)
    cleaned, _ = Redaction(defaults=False, patterns=[pattern]).apply(argv, arguments)
    for value, rest in zip(arguments, cleaned, strict=True):
        assert (rest != value) or not list(Pattern(pattern).spans(value, work))


@given(st.text(st.sampled_from("ab01(){}[]?*+|^$.\\-:,=!<>PiswdbZA\n é"), min_size=1, max_size=10))
def test_whatever_the_contract_takes_can_be_used(pattern: str) -> None:
    """Short patterns are refused by the contract or by nobody."""
    try:
        RedactionRule.model_validate({"name": "a", "pattern": pattern})
    except ValueError:
        return
    Pattern(pattern)
