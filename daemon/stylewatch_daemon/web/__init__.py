"""The page: what the daemon does, to be looked at; served by a process of its own."""
