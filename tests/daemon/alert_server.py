"""A server on this machine that receives alerts."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class AlertServer:
    """Received alerts, in order; `statuses` are the next answers, then 200."""

    port: int = 0
    got: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    """While this is not set, it does not answer."""

    @property
    def url(self) -> str:
        """Its URL, as apprise has it, with a password."""
        return f"json://ann:hushhush@127.0.0.1:{self.port}/"

    @property
    def bodies(self) -> list[str]:
        """The texts of the alerts."""
        return [post["message"] for post in self.got]


@contextmanager
def alert_server() -> Iterator[AlertServer]:
    """Run a server on this machine."""
    posts = AlertServer()
    posts.hangs.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            posts.hangs.wait()
            self.send_response(posts.statuses.pop(0) if posts.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Not on the tests' output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        posts.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield posts
        finally:
            posts.hangs.set()
            server.shutdown()
            thread.join()
