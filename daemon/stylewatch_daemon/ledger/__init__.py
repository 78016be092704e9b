"""The ledger: all jobs, attempts, published files and requests, in the state folder.

It may import `settings`, `files` and `base`. All packages may read the ledger; apart from
`requests`, only the daemon uses `writer`. Begin with `schema`, then `ledger`, the queries.
"""
