"""The inside of a worker process: prepare inputs, run a job, record it."""
