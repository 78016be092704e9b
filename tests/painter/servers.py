"""A server on this machine that can misbehave as servers do."""

from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler


@dataclass
class Server:
    """A server on this machine that can misbehave; `asked` are the headers it was sent."""

    body: bytes
    breaks_after: list[int] = field(default_factory=list)
    ranges: bool = True
    status: int = 200
    location: str | None = None
    declared: int | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def start_of(self, headers: dict[str, str]) -> int:
        """The byte at which the answer begins."""
        wanted = headers.get("Range")
        if not (self.ranges and wanted):
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))


class Handler(BaseHTTPRequestHandler):
    """Answers as the plan of its server says."""

    plan: Server

    def do_GET(self) -> None:
        headers = dict(self.headers.items())
        self.plan.asked.append(headers)
        start = self.plan.start_of(headers)
        if self.plan.status != 200:
            self._end(self.plan.status)
        elif start >= len(self.plan.body):
            self._end(416)
        else:
            self._send(start)

    def _send(self, start: int) -> None:
        rest = self.plan.body[start:]
        whole = len(self.plan.body)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(self.plan.declared or len(rest)))
        self.end_headers()
        part = rest[: self.plan.breaks_after.pop(0) if self.plan.breaks_after else None]
        with suppress(ConnectionError):  # who is refused half way need not stay for the rest
            self.wfile.write(part)

    def _end(self, status: int) -> None:
        self.send_response(status)
        if self.plan.location:
            self.send_header("Location", self.plan.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Not on the tests' output."""
