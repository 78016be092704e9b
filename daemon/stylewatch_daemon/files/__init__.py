"""All calls of the operating system on files, made so that nothing is lost (law 2).

It imports `base` alone, and every other package of the daemon process leaves files to it. Begin
with `system`, the calls as one object, then `entries` and `atomic`.
"""
