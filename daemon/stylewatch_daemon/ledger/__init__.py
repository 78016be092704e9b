"""The ledger: all jobs, attempts, published files and requests, in the state folder.

It may import `settings`, `files` and `base`; all may read the ledger, and the daemon alone imports
`writer`. Begin with `schema`, then `ledger`, the queries.
"""
