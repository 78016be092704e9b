"""Alerts: notify people of what the daemon does, through apprise in a child process."""
