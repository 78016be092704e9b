"""Checks of an installation: everything that would keep the daemon from working.

The package may import what it checks, but nothing that decides (`jobs`, the main loop). It runs
backends only in child processes. Start reading with `diagnose`, whose table has all checks in their
order.
"""
