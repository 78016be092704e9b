"""The executor `ray`: jobs on the machines of a Ray cluster.

It imports only those modules of the daemon that docs/cluster.md names for every package with an
executor. `ray_api` alone imports Ray, in a process of its own. Begin with `settings`, by which the
daemon finds this package, then `driver_client`, `driver` and `actor_pool`.
"""
