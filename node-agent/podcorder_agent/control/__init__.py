"""The control socket between the recorder and everyone who asks something of it (docs/control.md)."""
