"""Where jobs are painted: what an executor is, and the worker that it runs."""
