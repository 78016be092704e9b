"""What all packages share: records, errors, events, child processes, lanes.

It imports no other package of the daemon. Begin with `model`, the records, then `errors`, which
says what follows from each kind of error.
"""
