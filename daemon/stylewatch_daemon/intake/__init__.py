"""From inbox to queue: watch and scan inboxes, pair files, claim pairs, inspect their pictures."""
