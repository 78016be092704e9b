"""The web page and the HTTP API, served by a process of their own.

Only this package imports Starlette, uvicorn and the Prometheus client. It asks the daemon through
`client`, as commands do. Begin with `serve`, then `access`, which every request passes.
"""
