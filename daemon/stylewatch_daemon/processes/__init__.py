"""Child processes: starting, messages, wake-ups, waiting times between retries."""
