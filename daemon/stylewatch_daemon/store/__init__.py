"""The state directory and the ledger of all jobs."""
