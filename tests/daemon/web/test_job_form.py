"""The form of a job, while its recipes are not at hand."""

from pathlib import Path

from starlette.testclient import TestClient
from tests.daemon.web.world import BROWSER, HERE, OURS, enter, page_of, settings

from stylewatch_daemon.web.serve import application

PAIR = [
    ("content", ("sea.jpg", b"content", "image/jpeg")),
    ("style", ("wave.png", b"style", "image/png")),
]


def test_the_page_names_a_folder_of_recipes_that_is_away(tmp_path: Path) -> None:
    """The form lists the recipes of packages, and a job is accepted once all are known."""
    own = tmp_path / "own"
    (tmp_path / "in").mkdir()
    enter(tmp_path / "state")
    config = settings(tmp_path).model_copy(update={"recipes": (own,)})
    page = TestClient(application(page_of(config)), HERE, headers=OURS, follow_redirects=False)
    shown = page.get("/", headers=BROWSER)
    assert shown.status_code == 200 and "strotss" in shown.text
    refused = page.post("/jobs", files=PAIR, data={"recipe": "gram"})
    assert refused.status_code in (400, 422)
    assert f"the folder of recipes {own} cannot be listed" in refused.text
    assert not list((tmp_path / "in").rglob("*.jpg"))
    own.mkdir()
    (own / "mine.yaml").write_text("extends: gram\nabout: Mine.\n")
    assert page.post("/jobs", files=PAIR, data={"recipe": "mine"}).status_code in (200, 201, 202)
