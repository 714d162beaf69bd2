"""The privileged half: loads the BPF programs, moves the rings' bytes into the journal, and does what the control socket asks."""
