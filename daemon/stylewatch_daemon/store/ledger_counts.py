"""How many jobs stand how, kept while they change: to count thousands anew would hold up each.

The counts are the writer's own, in a table beside the ledger that is never written to a disk; what
is undone in the ledger is undone in it too.
"""

import sqlite3

TABLE = "standing"
"""The table's name; its columns are inbox, outbox, state and count."""

COUNTED = "(SELECT inbox, outbox, state, count(*) AS count FROM jobs GROUP BY 1, 2, 3)"
"""The same for who only reads: counted when it is asked for."""

_ADD = f"""
    INSERT INTO {TABLE} VALUES (NEW.inbox, NEW.outbox, NEW.state, 1)
    ON CONFLICT DO UPDATE SET count = count + 1;
"""
_TAKE = f"""
    UPDATE {TABLE} SET count = count - 1
    WHERE inbox = OLD.inbox AND outbox = OLD.outbox AND state = OLD.state;
"""

_STATEMENTS = (
    "PRAGMA temp_store = MEMORY",
    f"""
    CREATE TEMP TABLE {TABLE} (
        inbox TEXT, outbox TEXT, state TEXT, count INTEGER, PRIMARY KEY (inbox, outbox, state)
    ) WITHOUT ROWID
    """,
    f"INSERT INTO {TABLE} SELECT * FROM {COUNTED}",
    f"CREATE TEMP TRIGGER entered AFTER INSERT ON jobs BEGIN {_ADD} END",
    f"CREATE TEMP TRIGGER gone AFTER DELETE ON jobs BEGIN {_TAKE} END",
    f"""
    CREATE TEMP TRIGGER changed AFTER UPDATE OF inbox, outbox, state ON jobs
    BEGIN {_TAKE} {_ADD} END
    """,
)


def keep(connection: sqlite3.Connection) -> None:
    """Keep the counts for as long as the ledger's one writing `connection` lasts."""
    for statement in _STATEMENTS:
        connection.execute(statement)
