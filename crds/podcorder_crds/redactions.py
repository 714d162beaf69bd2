"""Redaction: what is taken out of arguments before they leave the machine."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field

from podcorder_crds.enums import Rules
from podcorder_crds.models import ATOMIC, Model
from podcorder_crds.names import LabelName
from podcorder_crds.rules import Keyed, Rule, pattern

_SHORTHAND = r"\\[dDsSwW]"
_ESCAPED = r"\\(?:[tnrfva]|x[0-9A-Fa-f]{2}|[ -/:-@\[-`{-~])"
_IN_CLASS = rf"(?:[^\\\[\]]|{_ESCAPED})"
_NO_DASH = rf"(?:[^\\\[\]-]|{_ESCAPED})"
# Behind a shorthand such as \w a dash must be the last of its class: Python takes it for a bad range.
_CLASS = rf"\[\^?(?:(?:{_IN_CLASS}|(?:{_SHORTHAND})+{_NO_DASH})+(?:(?:{_SHORTHAND})+-?)?|(?:{_SHORTHAND})+-?)\]"
_ATOM = rf"(?:[^\\()\[{{*+?|^$]|{_ESCAPED}|{_SHORTHAND}|{_CLASS})"
_QUANTIFIER = r"(?:(?:[*+?]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})\??)?"
_ASSERTION = r"[\^$]|\\[AbB]"
_OPEN = r"\((?:\?:|\?P<[A-Za-z_][A-Za-z0-9_]*>)?"
SYNTAX = rf"^(?:\(\?[ims]+\))?(?:{_ATOM}{_QUANTIFIER}|{_ASSERTION}|{_OPEN}|\){_QUANTIFIER}|\|)*$"
"""The tokens that RE2, which the API server checks with, and Python's `re`, which the agent searches with, share."""


def compiles(text: str) -> bool:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


RegularExpression = Annotated[
    str,
    Field(min_length=1, max_length=512),
    pattern(
        SYNTAX,
        "uses more than RE2 and Python's re share: leave out lookaround, backreferences, possessive quantifiers,"
        " comments and flags other than (?i), (?s), (?m) at the start, and escape a literal { or [",
    ),
    # What RE2 cannot parse is an error of the expression, which the API server shows before the sentence.
    Rule(
        "''.matches(self) in [true, false]",
        compiles,
        "is not a regular expression: close its brackets, escape characters that mean themselves",
    ),
]


class RedactionRule(Model):
    """A pattern whose matches do not leave the machine."""

    name: LabelName
    """What the rule is called: lower-case letters, digits and -, unique within the policy."""
    pattern: RegularExpression
    """A regular expression of the syntax that RE2 and Python's re share: no lookaround, no backreferences. With a group
    only the first group's text is taken out, else the whole match."""


class Redaction(Model):
    """What is taken out of arguments before they leave the machine."""

    model_config = ATOMIC

    defaults: Rules = Rules.ENABLED
    """Whether the rules that come with Podcorder apply: they know passwords, tokens and keys. The default is
    Enabled."""
    rules: Annotated[tuple[RedactionRule, ...], Keyed("name")] = Field(default=(), max_length=32)
    """Rules of your own, applied besides the defaults."""
