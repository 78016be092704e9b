"""The outbox: publishing, layout, receipts, retention, status files."""
