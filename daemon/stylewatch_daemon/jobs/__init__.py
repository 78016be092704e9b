"""The life of a job: the table of its states, then attempts, ends, waits, retries and retention.

It may import `executors` and what is below it; commands and the page never import it. Begin with
`lifecycle`, the table, then `jobs`, the only place that changes a job.
"""
