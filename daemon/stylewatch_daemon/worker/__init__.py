"""The inside of a worker process: prepare the pictures of a job, paint it, record it.

This package may import the painter, `artifacts` and the layers below `artifacts`; it loads the
backend of its order. The daemon process imports `messages` alone. Begin with `messages`, then
`worker_main` and `run_job`.
"""
