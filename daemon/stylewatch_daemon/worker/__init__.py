"""What runs in a worker process: prepare inputs, run a job, record its story."""
