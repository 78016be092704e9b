"""Checks of an installation: everything that would keep the daemon from working.

It may import what it checks, but nothing that decides (`jobs`, the main loop), and runs a backend
only in a child process. Begin with `diagnose`, whose table has all checks in their order.
"""
