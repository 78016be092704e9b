"""The executor `ray`, which runs jobs on the machines of a Ray cluster.

Of the daemon, this package imports only the modules that docs/cluster.md names for every package
with an executor. Only `ray_api` imports Ray, in a process of its own. Begin with `settings`, by
which the daemon finds this package, then `driver_client`, `driver` and `actor_pool`.
"""
