"""What can go wrong when an image is made, each as one sentence with the remedy."""

from __future__ import annotations


class ImageError(Exception):
    """No image was made."""


class PackageGone(ImageError):
    """A pinned Debian package is not offered any more."""


class CommandFailed(ImageError):
    """A tool that the build runs has failed."""


class ObjectsMissing(ImageError):
    """The BPF programs are not compiled."""
