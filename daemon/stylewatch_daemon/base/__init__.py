"""Records, errors, events and child processes, which all other packages use."""
