from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from podcorder_agent.cli import main
from podcorder_agent.cli.commands import ring_size
from podcorder_agent.cli.halves import handed_over, pins_of
from podcorder_agent.cli.terminals import style_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_error_has_an_exit_code_of_its_own(generator: ModuleType) -> None:
    """No two errors share a code, none has one that shells use, and each says in a line what it is about."""
    own = [each for each in generator.error_classes() if "exit_code" in vars(each)]
    codes = [each.exit_code for each in own]
    assert len(codes) == len(set(codes))
    assert all(code == 1 or 3 <= code < 64 for code in codes)
    assert all(generator.first_line(each).endswith(".") for each in own)


def test_generated_pages_are_up_to_date(generator: ModuleType) -> None:
    """The pages made from definitions say what the definitions say."""
    assert generator.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["events", "--journal", "{tmp}/none"], 21, "There is no journal in"),
        (["events", "--journal", "{tmp}/file"], 22, "is not a directory"),
        (["events", "--journal", "{tmp}"], 21, "holds no journal"),
        (["events", "--nonsense"], 2, "podcorder events --help"),
        (["show", "\x1b[31m", "--otlp", "{tmp}/empty"], 30, r"there is no session \x1b[31m"),
        (["events", "--otlp", "{tmp}/none"], 32, "No such file"),
        (["show", "ab", "--otlp", "{tmp}/empty"], 30, "there is no session ab"),
        (["doctor", "--trace", "--clean"], 2, "give --trace or --clean, not both"),
        (["doctor", "--level", "info"], 2, "--level goes with --trace"),
        (["record", "--policy", "{tmp}/none", "--", "true"], 3, "cannot read the policy file"),
        (["record", "--policy", "{tmp}/file", "--", "true"], 4, "unknown field nonsense"),
        (["record", "--policy", "{tmp}/nobody"], 6, "selects nothing here"),
        (["record", "--otlp", "localhost:4318", "--", "true"], 40, "neither a URL nor a file"),
        (["record", "--journal", "{tmp}", "--", "true"], 37, "holds other things than a journal"),
        (["record", "--", "no-such-program"], 127, "there is no such program"),
        (["record", "--ring-size", "7M"], 2, "power of two"),
        (["events", "--kind", "nothing"], 2, "no kind of event"),
        (["events", "--journal", "{tmp}", "--otlp", "{tmp}/empty"], 2, "not both"),
    ],
)
def test_bad_input_is_one_sentence_and_its_own_exit_code(
    arguments: list[str],
    code: int,
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is wrong with the input, the person reads one line and the script reads one code; nothing is begun."""
    (tmp_path / "file").write_text("nonsense: 1\n")
    (tmp_path / "nobody").write_text("sessions: [Exec]\nevents: {commands: {}}\n")
    (tmp_path / "empty").touch()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("podcorder_agent.cli.sources.RECORDINGS", tmp_path / "recordings")
    assert main([each.format(tmp=tmp_path) for each in arguments]) == code
    output, errors = capsys.readouterr()
    assert sentence in errors
    assert output == ""
    assert errors.startswith("podcorder: ")
    assert len(errors.strip().splitlines()) == 1


def test_recording_without_root_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who is not root is told so before anything is tried."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["record", "--", "true"]) == 5
    assert capsys.readouterr().err == "podcorder: recording needs root: run it with sudo\n"
    assert main(["doctor", "--trace"]) == 5
    assert capsys.readouterr().err == "podcorder: log lines are root's to read: run it with sudo\n"


def test_unreadable_certificates_are_found_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the exporter could not start with is said before the command runs, not after."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(tmp_path / "none"))
    assert main(["record", "--journal", str(tmp_path / "journal"), "--", "true"]) == 42
    assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in capsys.readouterr().err
    assert not (tmp_path / "journal").exists()


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    """In `podcorder events | head` nothing complains and nothing fails."""
    record = {"eventName": "podcorder.finding", "timeUnixNano": "1", "body": {"stringValue": "x" * 100}}
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record] * 10_000}]}]}) + "\n")
    program = "from podcorder_agent.cli import main; raise SystemExit(main())"
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}', "bash",
         sys.executable, "-c", program, "events", "--otlp", str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_traces_and_metrics_beside_the_logs_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A collector that writes all it gets into one file writes one that can be read."""
    path = tmp_path / "e.jsonl"
    record = {"eventName": "podcorder.finding", "timeUnixNano": "1"}
    requests = [{"resourceSpans": []}, {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}]
    path.write_text("".join(json.dumps(each) + "\n" for each in [*requests, {"resourceMetrics": []}]))
    assert main(["events", "--otlp", str(path), "--output", "json"]) == 0
    output, errors = capsys.readouterr()
    assert [json.loads(line)["event_name"] for line in output.splitlines()] == ["podcorder.finding"]
    assert errors == ""


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Help of every command shows how it is used."""
    for command in ("record", "events", "sessions", "show"):
        assert main([command, "--help"]) == 0
        assert "Examples:" in capsys.readouterr().out


def test_empty_sources_give_empty_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A journal without a frame has no events and no sessions, and that is no error."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal/lock").touch()
    assert main(["events", "--journal", str(tmp_path / "journal"), "--output", "json"]) == 0
    assert main(["sessions", "--journal", str(tmp_path / "journal"), "--output", "json"]) == 0
    assert capsys.readouterr().out == ""


def test_events_of_an_otlp_file_are_filtered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Filters and formats work on OTLP as on a journal."""
    records = [
        {
            "eventName": "podcorder.file.open",
            "timeUnixNano": str(10**18 + number),
            "attributes": [{"key": "file.path", "value": {"stringValue": f"/etc/{number}"}}],
        }
        for number in range(20)
    ]
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}) + "\n")
    assert main(["events", "--otlp", str(path), "--path", "/etc/1", "--output", "json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["file.path"] for each in found] == ["/etc/1", *(f"/etc/{number}" for number in range(10, 20))]
    assert {each["event_name"] for each in found} == {"podcorder.file.open"}


@pytest.mark.parametrize(("text", "size"), [("8M", 8 << 20), ("4k", 4096), ("65536", 65536), ("1G", 1 << 30)])
def test_sizes_of_rings(text: str, size: int) -> None:
    """A ring's size is a power of two, with a unit if one likes."""
    assert ring_size(text) == size


def test_each_journal_has_pins_of_its_own(tmp_path: Path) -> None:
    """Two recordings at a time do not meet, and one journal has one name however it is written."""
    assert pins_of(tmp_path / "a") != pins_of(tmp_path / "b")
    assert pins_of(tmp_path / "a") == pins_of(tmp_path / "b/../a")
    assert "." not in pins_of(tmp_path / "a").name  # bpffs allows none


def test_a_journal_below_a_private_directory_is_handed_over_open(tmp_path: Path) -> None:
    """Where a half without privileges could not search the way to the journal it inherits it as a descriptor."""
    private = tmp_path / "private"
    (private / "journal").mkdir(parents=True)
    private.chmod(0o700)
    name, (descriptor,) = handed_over(private / "journal")
    try:
        assert name == f"/proc/self/fd/{descriptor}"
        assert os.path.samefile(name, private / "journal")
    finally:
        os.close(descriptor)


def test_no_colours_where_nobody_sees_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Colours only on a terminal, and never with NO_COLOR."""
    with open(tmp_path / "file", "w", encoding="utf-8") as file:
        assert not style_of(file).colour
    main_end, terminal_end = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with open(main_end, "wb"), open(terminal_end, "w", encoding="utf-8") as terminal:
        assert style_of(terminal).colour
        monkeypatch.setenv("NO_COLOR", "1")
        assert not style_of(terminal).colour
