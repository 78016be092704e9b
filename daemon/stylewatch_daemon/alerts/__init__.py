"""Tells people elsewhere what the daemon does, by apprise, which runs in a process of its own."""
