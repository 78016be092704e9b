"""The page answers while it is attacked in every way, and a job is done meanwhile."""

import math
from contextlib import closing
from pathlib import Path

from tests.browser.site import Site
from tests.web_load.__main__ import JOB, attacked, start
from tests.web_load.attacks import ATTACKS


def test_the_page_answers_and_the_daemon_works_while_the_page_is_attacked(tmp_path: Path) -> None:
    with closing(Site.made(tmp_path)) as site:
        start(site, *JOB, "--set", "steps=5")
        page = site.page_process
        measured = attacked(site, list(ATTACKS), 3.0, 0.05)
        assert (measured.failures, site.page_process) == ([], page)
    assert measured.delays and measured.job < math.inf
    assert "the page failed at a request" not in (tmp_path / "daemon.log").read_text()
