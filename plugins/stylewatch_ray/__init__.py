"""The executor `ray`: jobs on the machines of a Ray cluster.

Of the daemon it imports what docs/cluster.md names, as any package with an executor; `ray_api`
alone imports Ray, in a process of its own. Begin with `settings`, by which the daemon finds it,
then `driver_client`, `driver` and `actor_pool`.
"""
