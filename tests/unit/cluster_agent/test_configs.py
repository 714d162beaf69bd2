"""Configs: what is understood is carried out, what is not is said."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from podcorder_agent.cluster.configs import read_config


def make_entry(name: str = "exec", **spec: Any) -> dict[str, Any]:
    return {
        "kind": "SessionRecordingPolicy",
        "namespace": "shop",
        "name": name,
        "generation": 1,
        "spec": {"events": {"commands": {}}, "sessions": ["Exec"]} | spec,
    }


def make_config(*entries: Any, **more: Any) -> dict[str, Any]:
    metadata = {"name": "node-1", "uid": "uid-1", "generation": 4}
    return {"metadata": metadata, "spec": {"nodeName": "node-1", "policies": list(entries)}} | more


def test_a_config_is_read() -> None:
    """Uid, generation and policies, and no problems."""
    config = read_config(make_config(make_entry("a"), make_entry("b")))
    assert (config.uid, config.generation, config.problems) == ("uid-1", 4, ())
    assert [each.name for each in config.policies] == ["a", "b"]


def test_a_config_may_ask_to_unload() -> None:
    """Only where it says so in just this word."""
    assert read_config(make_config()).unload is False
    for value, expected in (("Unloaded", True), ("Loaded", False), (None, False), ("Upside down", False)):
        raw = make_config()
        raw["spec"]["programs"] = value
        assert read_config(raw).unload is expected


def test_what_is_unknown_in_a_policy_is_left_out_and_said() -> None:
    """A field and a word of a newer version cost nothing but themselves; the policy beside is whole."""
    newer = make_entry("newer", sessions=["Exec", "Hologram"], events={"commands": {}, "smells": {}})
    config = read_config(make_config(newer, make_entry("other")))
    assert [each.name for each in config.policies] == ["newer", "other"]
    assert [each.value for each in config.policies[0].spec.sessions] == ["Exec"]
    assert config.policies[0].spec.events.commands is not None
    assert len(config.problems) == 2
    assert any("smells" in each for each in config.problems)
    assert any("Hologram" in each for each in config.problems)


def test_what_goes_with_an_unknown_word_stays() -> None:
    """What an author is refused for two fields together is no reason to leave out a policy that was taken elsewhere."""
    config = read_config(make_config(make_entry(mode="Stricter", onRecorderFailure="End")))
    assert [each.spec.on_recorder_failure.value for each in config.policies] == ["End"]
    assert len(config.problems) == 1


def test_a_policy_of_which_nothing_is_known_is_left_out() -> None:
    """What lacks a field that is needed is no policy; the others hold."""
    entry = make_entry("empty")
    del entry["spec"]["events"]
    config = read_config(make_config(entry, make_entry("other"), "nonsense"))
    assert [each.name for each in config.policies] == ["other"]
    assert any("spec.policies[0].spec.events is missing" in each for each in config.problems)


def test_what_is_unknown_beside_the_policies_is_said() -> None:
    """By its name; the policies are carried out."""
    config = read_config(make_config(make_entry(), spec=make_config(make_entry())["spec"] | {"tides": "high"}))
    assert len(config.policies) == 1
    assert config.problems == ("spec.tides is not known to this agent: update it",)


def test_a_config_of_another_version_is_said() -> None:
    """What it holds is tried all the same."""
    config = read_config(make_config(make_entry(), apiVersion="podcorder.dev/v2"))
    assert len(config.policies) == 1
    assert "podcorder.dev/v2" in config.problems[0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(json_values, st.sampled_from(("metadata", "spec")))
def test_no_config_raises(value: Any, where: str) -> None:
    """Whatever stands in a config, the result is one."""
    assert read_config(make_config() | {where: value}).policies == ()


@given(st.lists(json_values, max_size=3), json_values)
def test_no_policy_raises(entries: list[Any], spec: Any) -> None:
    """Whatever stands where policies should, the policy beside it is read."""
    config = read_config(make_config(*entries, make_entry() | {"spec": spec}, make_entry("good")))
    assert config.policies[-1].name == "good"


def test_a_pattern_that_cannot_be_used_is_said_and_kept() -> None:
    """Without the rule in the policy nobody would take out what it was to take out."""
    entry = make_entry(redaction={"rules": [{"name": "huge", "pattern": "a{999}b{999}c{99}"}]})
    config = read_config(make_config(entry))
    assert [each.pattern for each in config.policies[0].spec.redaction.rules] == ["a{999}b{999}c{99}"]
    assert "exec: the redaction pattern 'a{999}b{999}c{99}' cannot be used" in config.problems[0]
    assert config.problems[0].endswith("all arguments are taken out")
