"""What another process may do: submit pictures, ask for changes, read the status.

Commands and the page use it; it leaves requests in the ledger, which it may import as well as
`outbox` and all below, and never changes a job itself. Begin with `operations`, then `condition`,
the daemon's state in words.
"""
