"""The daemon process, put together: main loop, status, log, alerts, hooks, restarts.

It builds all parts, so it may import every package below it; `cli`, `web`, `doctor` and `views` are
above it. Begin with `daemon`, which starts and stops the parts, then `loop`.
"""
