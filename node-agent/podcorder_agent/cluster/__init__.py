"""The node's part of a cluster: its own pods and its own NodeRecordingConfig, followed and carried out."""
