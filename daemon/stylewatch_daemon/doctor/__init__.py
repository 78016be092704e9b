"""Checks of an installation: everything that would prevent the daemon from working."""
