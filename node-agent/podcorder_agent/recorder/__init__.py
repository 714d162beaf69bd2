"""The privileged half: loads the BPF programs, moves the rings' bytes into the journal, serves the control socket."""
