"""The ledger: all jobs, attempts, published files and requests; and the state folder around it."""
