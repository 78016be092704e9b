"""The daemon and its commands: it takes pairs from inboxes and puts paintings into outboxes.

It imports `stylewatch_plugins` and `stylewatch_painter`, but neither torch nor a backend in the
daemon process; its own packages are layers, each of which imports those below it (pyproject.toml).
Begin with docs/architecture.md, then `app.loop`.
"""
