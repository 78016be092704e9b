"""The folders of results: publishing, staging, receipts, and removal (law 1).

This package may import `ledger` and the layers below it, and knows no running job. Start reading
with `publish`, then `removal` and `inputs`.
"""
