"""From inbox to queue: watch and scan inboxes, pair files, claim pairs, inspect pictures.

This package may import `jobs` and the layers below it. Only its module `watch` imports watchdog.
Start reading with `intake`, which follows a pair, then `scan`, `pairing` and `claim`.
"""
