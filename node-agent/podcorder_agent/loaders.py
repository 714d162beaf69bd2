"""What can bring the programs into the kernel, as command lines and values of the chart name it."""

from __future__ import annotations

LOADERS = ("auto", "core", "bcc")
"""Objects compiled beforehand (`core`), sources compiled on the node (`bcc`), or whichever fits the kernel."""
