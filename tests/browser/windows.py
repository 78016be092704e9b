"""A viewer's browser windows, and all that they do behind the viewer's back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

PATIENCE_MS = 30_000
"""Milliseconds that anything may take."""

HERE = ("127.0.0.1",)
"""The hosts that may be asked for anything."""

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 740}
"""Pixels of a screen on a desk, and of one in a hand."""


@dataclass
class Windows:
    """Opens windows, and keeps what they asked for, and what went wrong in them."""

    browser: Browser
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    forgiven: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, script: bool = True, **wishes: Any) -> Page:
        """A window of a viewer of its own: without cookies, `script` or not, WIDE and light."""
        chosen: Mapping[str, Any] = {"viewport": WIDE, "color_scheme": "light",
                                     "reduced_motion": "reduce", **wishes}  # fmt: skip
        context = self.browser.new_context(java_script_enabled=script, **chosen)
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.said.append(f"not caught: {error}"))
        return page

    def close(self) -> None:
        """Close them all."""
        for context in self.contexts:
            context.close()

    @property
    def strangers(self) -> list[str]:
        """What was asked for elsewhere; what a page carries within itself is no request."""
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).hostname not in HERE
        ]

    def forget(self, what: str) -> None:
        """Forget complaints that have `what` in them, early or late: the test made it so."""
        self.forgiven.append(what)

    @property
    def errors(self) -> list[str]:
        """What went wrong, but for what is forgiven."""
        return [one for one in self.said if not any(what in one for what in self.forgiven)]

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.said.append(f"{message.text} ({message.location.get('url')})")
