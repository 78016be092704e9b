"""The daemon and its commands: pairs in at the inbox, paintings out at the outbox."""
