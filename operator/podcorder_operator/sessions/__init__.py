"""What the API server asks before somebody gets into a pod: who it was is written down before it is allowed."""
