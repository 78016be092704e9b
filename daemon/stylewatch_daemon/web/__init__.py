"""The web page, which shows and controls the daemon; served by a separate process."""
