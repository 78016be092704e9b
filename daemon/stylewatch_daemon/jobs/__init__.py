"""The life of a job: one table of its states, attempts, ends, waits, retention.

It may import `executors` and what is below it; commands and the page never import it. Begin with
`lifecycle`, the table, then `jobs`, the only place that changes a job.
"""
