"""From the journal to a collector or a file: OTLP encoding, sending, acknowledgement."""
