"""What Remit and others say to each other, as types and pure functions. No I/O."""
