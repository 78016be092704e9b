"""Files that other programs write, read and painted: `make formats`."""
