"""The folders of results: publishing, staging, receipts, and removal (law 1).

It may import `ledger` and what is below it, and knows no job that runs. Begin with `publish`, then
`removal` and `inputs`.
"""
