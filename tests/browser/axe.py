"""What axe-core finds on a page that keeps people out of it."""

from functools import cache
from importlib.resources import files

from playwright.sync_api import Page


@cache
def _script() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def barriers(page: Page) -> list[str]:
    """Each rule that is broken, with where; `page` is looked at as it stands now."""
    page.evaluate(_script())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']} ({rule['help']}): {' '.join(node['target'])}: {node['html']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
