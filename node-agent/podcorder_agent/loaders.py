"""What can bring the programs into the kernel, as command lines and values of the chart name it."""

from __future__ import annotations

LOADERS = ("auto", "core", "bcc")
"""Objects compiled beforehand (`core`), sources compiled on the node (`bcc`), or whichever fits the kernel."""

TRACE_LEVELS = ("error", "info", "debug")
"""Of the log lines that the programs of a debug build write; each has those before it. See bpf/log.bpf.h."""
