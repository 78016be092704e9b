"""The contract of executors, which run attempts at jobs, and the executor `local`.

It may import `worker` and what is below it; packages with executors of their own import it, and are
loaded by `settings.executors`. Begin with `base`, the contract, then `local`.
"""
