"""Programs compiled on the node by bcc, instead of objects compiled beforehand."""
