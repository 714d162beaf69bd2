"""What can go wrong on the command line."""

from __future__ import annotations

from podcorder_agent.errors import PodcorderError


class NotRoot(PodcorderError):
    """Recording needs root."""

    exit_code = 5


class NothingSelected(PodcorderError):
    """The policy selects nothing that this machine has."""

    exit_code = 6


class MachineUnfit(PodcorderError):
    """`doctor` found that this machine cannot record."""

    exit_code = 8


class TraceNotWritten(PodcorderError):
    """`doctor --trace` found no debug build at work."""

    exit_code = 49


class TracefsMissing(PodcorderError):
    """tracefs is not mounted."""

    exit_code = 51


class TraceUnusable(PodcorderError):
    """The kernel's trace buffer cannot be used."""

    exit_code = 52


class ProbesFailed(PodcorderError):
    """The recorder's probes gave no report."""

    exit_code = 9


class SessionUnknown(PodcorderError):
    """No session has this id."""

    exit_code = 30


class SessionAmbiguous(PodcorderError):
    """Several sessions have ids that begin like this."""

    exit_code = 31


class OtlpUnreadable(PodcorderError):
    """The OTLP file cannot be read."""

    exit_code = 32


class RecordingMissing(PodcorderError):
    """There is no recording where one is looked for by default."""

    exit_code = 33


class RecorderFailed(PodcorderError):
    """The recorder ended before its time, without saying why."""

    exit_code = 34


class ExporterFailed(PodcorderError):
    """The exporter ended before its time, without saying why."""

    exit_code = 35


class RecordingDegraded(PodcorderError):
    """A policy of mode Strict, and not all that it asks for can be recorded."""

    exit_code = 36


class JournalUnusable(PodcorderError):
    """The journal's directory cannot be made."""

    exit_code = 37
