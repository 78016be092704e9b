"""What would keep the daemon from working on this machine, each with what to do about it."""
