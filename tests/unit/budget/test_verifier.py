"""The kernel's words are read, and nothing else is taken for them."""

from __future__ import annotations

import pytest
from budget.verifier import read_words

OF_6_18 = """\
verification time 92696 usec
stack depth 112+96+48+0
processed 19247 insns (limit 1000000) max_states_per_insn 10 total_states 788 peak_states 483 mark_read 0
"""
OF_5_2 = """\
verification time 61 usec
stack depth 16
processed 33 insns (limit 1000000) max_states_per_insn 0 total_states 2 peak_states 2 mark_read 1
"""
WITH_A_FUNCTION = f"""\
Func#1 ('place_session') is safe for any args that match its prototype
{OF_6_18}"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [(OF_6_18, (19247, [112, 96, 48, 0])), (OF_5_2, (33, [16])), (WITH_A_FUNCTION, (19247, [112, 96, 48, 0]))],
)
def test_the_verifiers_words_are_read(words: str, expected: tuple[int, list[int]]) -> None:
    """Instructions processed, and each function's stack."""
    assert read_words(words) == expected


@pytest.mark.parametrize("words", ["", "R1 invalid mem access 'scalar'\n", OF_6_18.replace("stack depth", "depth")])
def test_other_words_are_no_figures(words: str) -> None:
    """A kernel that says something else must not be read as one with cheap programs."""
    with pytest.raises(ValueError, match="no statistics"):
        read_words(words)
