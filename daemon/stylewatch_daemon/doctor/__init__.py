"""Checks of an installation: everything that would keep the daemon from working."""
