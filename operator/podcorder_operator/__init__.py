"""The operator: policies in, one NodeRecordingConfig a node out, and a status that tells their authors the truth."""
