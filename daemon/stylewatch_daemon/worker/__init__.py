"""The inside of a worker process: prepare the pictures of a job, paint it, record it.

It may import `artifacts`, what is below it and the painter, and loads the backend of its order; the
daemon process imports `messages` alone. Begin with `messages`, then `worker_main` and `run_job`.
"""
