"""Operations for processes other than the daemon: submit pictures, ask for changes, read status.

Commands and the page use this package. It may import the ledger, `outbox` and the packages below
them. It leaves requests in the ledger, and never changes a job itself. Begin with `operations`,
then `condition`, the daemon's state in words.
"""
