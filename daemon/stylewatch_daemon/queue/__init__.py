"""The job queue: order, batching, attempts, retries, series, finalization."""
