"""Operations of commands and of the page: submit pictures, ask for changes, read the status.

They run in other processes than the daemon, and leave it requests in the ledger.
"""
