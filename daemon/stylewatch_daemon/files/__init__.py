"""All calls of the operating system on files, made so that nothing is lost (law 2).

This package imports only `base`; all other packages of the daemon process access files through it.
Begin with `system`, the calls as methods of one object, then `entries` and `atomic`.
"""
