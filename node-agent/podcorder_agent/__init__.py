"""Podcorder's agent: recorder, exporter and command line."""

__version__ = "0.1.0"
