"""Records, errors, events and child processes, used by all other packages."""
