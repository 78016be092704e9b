"""From inbox to queue: watch and scan inboxes, pair files, claim pairs, inspect pictures.

It may import `jobs` and what is below it, and alone imports watchdog. Begin with `intake`, the way
of a pair, then `scan`, `pairing` and `claim`.
"""
