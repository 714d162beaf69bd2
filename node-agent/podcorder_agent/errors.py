"""What can go wrong in a way that a person can mend: one sentence with the remedy, and an exit code of its own."""

from __future__ import annotations


class PodcorderError(Exception):
    """Base of every error shown to people; `str()` is one sentence that names the remedy."""

    exit_code = 1
