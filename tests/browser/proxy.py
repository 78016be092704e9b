"""A reverse proxy as docs/web.md has it: it shows a page that is served elsewhere, under a path."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

UNDER = "/studio"

NOT_HANDED_ON = ("connection", "keep-alive", "transfer-encoding", "date", "server")


class Handler(BaseHTTPRequestHandler):
    """Hands each request on to the port `to`, less the path if `strips`; the answer as it comes."""

    to = 0
    strips = False

    def do_GET(self) -> None:
        self._hand_on(b"")

    def do_POST(self) -> None:
        self._hand_on(self.rfile.read(int(self.headers["Content-Length"])))

    def _hand_on(self, body: bytes) -> None:
        if not self.path.startswith(f"{UNDER}/"):
            self.send_error(404)
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.to, timeout=60)
        path = self.path.removeprefix(UNDER) if self.strips else self.path
        behind.request(self.command, path, body, {**dict(self.headers), "Connection": "close"})
        answer = behind.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.casefold() not in NOT_HANDED_ON:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        while piece := answer.read1(65536):
            self.wfile.write(piece)
            self.wfile.flush()
        behind.close()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def before(port: int, *, strips: bool) -> Iterator[str]:
    """The address at which the page on `port` is shown; `strips` says what becomes of paths."""
    handler = type("To", (Handler,), {"to": port, "strips": strips})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}{UNDER}/"
        finally:
            server.shutdown()
            thread.join()
