"""The daemon and its commands: it takes pairs from the inbox and puts paintings into the outbox."""
