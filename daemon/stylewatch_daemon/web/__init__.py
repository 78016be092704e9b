"""The web page and the HTTP API, served by a process of their own.

It alone imports Starlette, uvicorn and the metrics, and asks the daemon through `client`, as
commands do. Begin with `serve`, then `access`, which every request passes.
"""
