"""Operations for processes other than the daemon: submit pictures, ask for changes, read status.

Commands and the page use this package. It may import `outbox` and the layers below it. It leaves
requests in the ledger, and never changes a job itself. Start reading with `operations`, then
`condition`, the daemon's state in words.
"""
