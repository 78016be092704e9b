"""Jobs: their lifecycle, the queue, attempts, and operations that people request."""
