"""The backends, the contract they keep, and the door they come in by."""
