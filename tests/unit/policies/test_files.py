from __future__ import annotations

import contextlib
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.policies import PolicyInvalid, PolicyUnreadable, load
from podcorder_agent.policies.files import parse

SPEC = """\
sessions: [Container]
events:
  files:
    paths:
      include: [/etc/]
"""


def test_spec_and_manifest_say_the_same() -> None:
    """A bare spec and a whole manifest with it are the same policy, but for the name."""
    manifest = (
        "apiVersion: podcorder.dev/v1alpha1\nkind: SessionRecordingPolicy\nmetadata: {name: etc}\nspec:\n"
        + textwrap.indent(SPEC, "  ")
    )
    bare, whole = parse(SPEC, "some/audit.yaml"), parse(manifest, "m.yaml")
    assert bare.spec == whole.spec
    assert (bare.name, whole.name) == ("audit", "etc")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("events:\n  files:\n    pathes: {}\n", "p.yaml:3: unknown field events.files.pathes: did you mean paths?"),
        ("events: {commands: {}}\nspeck: 1\n", "p.yaml:2: unknown field speck: known there: podSelector, containers"),
        ("events:\n  network:\n    peers:\n      include:\n      - 10.0.0.0/8\n      - 10.0.0.0/33\n",
         "p.yaml:6: events.network.peers.include[1]: '10.0.0.0/33' is not a CIDR: write it like 10.0.0.0/8"),
        ("events:\n  commands:\n", "p.yaml:2: events.commands has no value: write {} for everything of it"),
        ("events: {commands: {}}\nmode: Lax\n", "p.yaml:2: mode is 'Lax': write one of 'BestEffort' or 'Strict'"),
        ("events: {commands: {}}\nevents: {}\n", "p.yaml:2: events stands there twice"),
        ("kind: Pod\n", "p.yaml:1: kind is 'Pod': write SessionRecordingPolicy"),
        ("apiVersion: podcorder.dev/v1alpha1\nkind: Pod\nmetadata: {name: x}\nspec: {events: {files: {}}}\n",
         "p.yaml:2: kind is 'Pod': write SessionRecordingPolicy"),
        ("mode: Strict\n", "p.yaml:1: events is missing: add it"),
        ("events: [\n", "p.yaml:2: not YAML"),
        ("", "p.yaml is empty"),
        ("- a\n", "p.yaml:1: not a policy"),
        ("events: {commands: {}}\n---\nevents: {files: {}}\n", "p.yaml:2: not YAML: but found another document"),
        ("events: {commands: {}}\nredaction:\n  rules:\n  - {name: a, pattern: '('}\n",
         "p.yaml:4: redaction.rules[0].pattern: '(' is not a regular expression"),
        ("events: {commands: {}}\nredaction:\n  rules:\n  - name: a\n    pattern: 'a{999}b{999}c{99}'\n",
         "p.yaml:5: the redaction pattern 'a{999}b{999}c{99}' cannot be used: it is too large once"),
        ("events: {commands: {}}\nrateLimits: {recordsPerSecond: 0}\n",
         "p.yaml:2: rateLimits.recordsPerSecond: input should be greater than or equal to 1, not 0"),
        ("[" * 5000, "p.yaml is nested too deep"),
        ("? [a]\n: b\n", "p.yaml:1: a field's name must be a plain word"),
        ("events: &e {commands: {}}\nmode: !!python/object:os.system x\n", "p.yaml:2: not YAML"),
    ],
)  # fmt: skip
def test_error_names_line_and_remedy(text: str, sentence: str) -> None:
    """Whatever is wrong with a policy is one sentence that names file, line, field and what to write."""
    with pytest.raises(PolicyInvalid) as caught:
        parse(text, "p.yaml")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_unreadable_file(tmp_path: Path) -> None:
    """A file that is not there, a directory and bytes that are no text are told apart from a wrong policy."""
    with pytest.raises(PolicyUnreadable, match="No such file") as caught:
        load(tmp_path / "none.yaml")
    assert caught.value.exit_code == 3
    with pytest.raises(PolicyUnreadable, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(PolicyInvalid, match="not UTF-8"):
        load(tmp_path / "bytes.yaml")


def test_expanding_aliases_end() -> None:
    """A small file whose aliases name ever larger things is refused in no time."""
    lines = ["a0: [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "\n".join(line.replace(": ", f": &a{n} ", 1) for n, line in enumerate(lines))
    with pytest.raises(PolicyInvalid, match="alias"):
        parse(text, "p.yaml")


@given(st.text(max_size=200))
def test_any_text_is_a_policy_or_one_sentence(text: str) -> None:
    """No text whatever makes the reader fail in another way than by its own error."""
    with contextlib.suppress(PolicyInvalid):
        parse(text, "p.yaml")
