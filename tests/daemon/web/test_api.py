"""The HTTP API: its description, and the examples of docs/api.md, sent to the page."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from starlette.testclient import TestClient
from tests.daemon.states import publish
from tests.daemon.web.world import (
    BROWSER,
    CHECK,
    a_job,
    client,
    enter,
    finished_job,
    picture,
    requested,
    write,
)

from stylewatch_daemon.base.model import Attempt
from stylewatch_daemon.client import status_json
from stylewatch_daemon.web import actions, doctor_runner
from stylewatch_daemon.web.http import API
from stylewatch_daemon.web.job_form import NAMES

DOCS = Path(__file__).parents[3] / "docs/api.md"

JOBS = {"cancel": "id-now", "finish": "id-now", "dismiss": "id-bad", "restore": "id-gone"}
"""Jobs that the examples for these operations are about; all others are about `id-sea`."""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A page with a painted, a refused and a running job, and a library with a style."""
    monkeypatch.setattr(actions, "WAIT_S", 0.0)
    monkeypatch.setattr(doctor_runner, "CHECK", CHECK)
    monkeypatch.setattr(doctor_runner, "VISITOR_TIMEOUT_S", 0.0)
    write(tmp_path / "styles/kelp.jpg", picture(70, "JPEG"))
    jobs = (a_job("bad", "refused"), a_job("now", "running", settings={}), a_job("trip/sea"),
            a_job("gone", trashed="2026-01-03T12:00:00+00:00"))  # fmt: skip
    page = client(tmp_path, *jobs)
    painted = finished_job(tmp_path, settings={"backend": "sketch"})
    enter(tmp_path / "state", painted, attempts=(Attempt("2026-01-02T12:00:00+00:00"),))
    publish(tmp_path / "state")
    return page


def described(page: TestClient) -> Any:
    """The description that the page sends."""
    return page.get(f"{API}/openapi.json").json()


def operations(description: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method, path and description of each operation."""
    for path, methods in description["paths"].items():
        for method in methods.keys() - {"parameters"}:
            yield method.upper(), path, methods[method]


def examples() -> Iterator[list[str]]:
    """Yield the words of each `curl` command in the table of the docs."""
    for command in re.findall(r"^\| `(curl .*?)` \|", DOCS.read_text(), re.MULTILINE):
        yield shlex.split(command)[1:]


def send(page: TestClient, words: list[str]) -> tuple[str, str, Response]:
    """Send what a `curl` command would; return its method, the path of the docs and the answer."""
    options = [*zip(words[:-1:2], words[1:-1:2], strict=True)]
    path = words[-1].removeprefix("$api").partition("?")[0]
    form = [value.split("=", 1) for name, value in options if name in ("-F", "-d")]
    files = [(field, (value[1:], picture(80, "JPEG"))) for field, value in form if value[0] == "@"]
    fields = {field: value for field, value in form if value[0] != "@"}
    method = dict(options).get("-X", "POST" if form else "GET")
    job = JOBS.get(path.rpartition("/")[2], "id-sea")
    address = words[-1].replace("$api", API).replace("$job", job)
    answer = page.request(method, address, data=fields, files=files or None)
    return method, path, answer


def test_every_example_of_the_docs_is_answered_as_described(page: TestClient) -> None:
    description, tried = described(page), set()
    for words in examples():
        assert words[:2] == ["-H", "$auth"]
        method, path, answer = send(page, words)
        path = path.replace("$job", "{job}").replace("pictures/final", "pictures/{what}")
        tried.add((method, path))
        assert answer.status_code == 200, answer.text
        content = description["paths"][path][method.lower()]["responses"]["200"]["content"]
        if schema := content.get("application/json", {}).get("schema"):
            OAS31Validator({**schema, "components": description["components"]}).validate(
                answer.json()
            )
    assert tried == {(method, path) for method, path, _ in operations(description)}


def test_the_description_is_valid_and_names_all_settings_and_keys(page: TestClient) -> None:
    description = described(page)
    validate(description)
    assert description["servers"] == [{"url": API}]
    schemas = description["components"]["schemas"]
    assert tuple(schemas["Settings"]["properties"]) == NAMES
    assert schemas["Status"]["required"] == [*status_json.nothing()]


def test_a_job_has_its_receipt_and_attempts_and_can_be_deleted(
    page: TestClient, tmp_path: Path
) -> None:
    whole = page.get(f"{API}/jobs/sea").json()
    assert whole["receipt"]["job"] == "sea" and len(whole["attempts"]) == 1
    page.delete(f"{API}/jobs/id-sea")
    assert requested(tmp_path) == [{"verb": "delete", "job": "id-sea"}]


def test_the_list_continues_at_the_address_of_the_next_jobs(tmp_path: Path) -> None:
    jobs = [a_job(f"job-{number:02}", finished=f"2026-01-02T12:00:{number:02}+00:00")
            for number in range(30)]  # fmt: skip
    page = client(tmp_path, *jobs, path="/base")
    first = page.get(f"{API}/jobs", params={"sort": "oldest"}).json()
    assert first["next"].startswith(f"/base{API}/jobs?")
    second = page.get(first["next"]).json()
    assert second["next"] is None
    names = [job["name"] for each in (first, second) for job in each["jobs"]]
    assert names == [job.name for job in jobs]


def test_errors_are_in_json_for_browsers_too(page: TestClient, tmp_path: Path) -> None:
    for method, path, status, reason in (
        ("GET", "/nothing", 404, "there is no such page"),
        ("GET", "/jobs/nothing", 404, "there is no such job"),
        ("GET", "/jobs?state=all", 404, "no jobs with the state"),
        ("PUT", "/jobs", 405, "does not support the method"),
    ):
        answer = page.request(method, f"{API}{path}", headers=BROWSER)
        assert answer.status_code == status and reason in answer.json()["error"]
    mistakes: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("again", {"files": {"mask": b"x"}}, "mask"),
        ("again", {"files": [("size", (None, "big"))]}, "size"),
        ("retry", {"data": {"stage": "5"}}, "stage"),
    )
    for action, form, name in mistakes:
        answer = page.post(f"{API}/jobs/id-sea/{action}", **form)
        assert (answer.status_code, [*answer.json()["mistakes"]]) == (400, [name])
    empty = page.post(f"{API}/jobs/id-sea/again", files={"style": b""}, data={"size": "big"})
    assert empty.status_code == 422
    assert requested(tmp_path) == []
