"""The record of a job: names, losses.csv, artifacts, and the receipt."""

import hashlib
from dataclasses import replace
from datetime import datetime

import pytest
from PIL import Image
from tests.daemon.worker.orders import files, painted, receipt

from stylewatch_daemon.worker import output_image
from stylewatch_daemon.worker.messages import Order


def test_stages_may_be_smaller_than_the_final_picture(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_image, "STAGE_SIDE", 16)
    painted(given)
    sizes = {}
    for name in ("stages/0008.png", "final.png"):
        with Image.open(given.staging / name) as image:
            sizes[name] = image.size
    assert sizes == {"stages/0008.png": (16, 12), "final.png": (32, 24)}


@pytest.mark.parametrize(("recipe", "name"), [("mine", "mine"), ("/home/ann/mine.yaml", "best")])
def test_the_receipt_names_the_recipe_as_the_job_does(given: Order, recipe: str, name: str) -> None:
    """A file may have been copied from another recipe, with its name; its path is nobody's."""
    painted(replace(given, settings=given.settings.model_copy(update={"recipe": recipe})))
    record = receipt(given)
    assert (record["settings"]["recipe"], record["recipe"]["name"]) == (name, "best")


def test_the_receipt_has_settings_inputs_files_and_digests(given: Order) -> None:
    earlier = {"backend": "torch", "device": "cuda:0", "ended": "failed: it burnt"}
    styles = given.styles * 2
    painted(replace(given, attempts=(earlier,), retry_of="earlier", styles=styles))
    record = receipt(given)
    assert (record["job"], record["state"], record["seed"]) == ("a/job", "done", 0)
    assert (record["recipe"]["name"], record["backend"]["name"]) == ("best", "sketch")
    assert (record["size"], record["retry_of"]) == ([32, 24], "earlier")
    assert record["losses"] == record["stages"][-1]["losses"]
    assert sorted(record["losses"]["style"]) == ["style-1", "style-2"]
    settings = {**given.settings.model_dump(mode="json"), "recipe": "best"}
    assert record["settings"] == settings
    started, finished = (datetime.fromisoformat(record[name]) for name in ("started", "finished"))
    assert started <= finished and str(started.utcoffset()) == "0:00:00"
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (given.main, *styles)]
    assert [entry["sha256"] for entry in record["inputs"]] == digests
    written = {each["file"]: each["sha256"] for each in (*record["stages"], *record["files"])}
    names = set(files(given)) - {"receipt.json"}
    contents = {name: (given.staging / name).read_bytes() for name in names}
    assert written == {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    first, last = record["attempts"]
    assert {key: first[key] for key in earlier} == earlier
    assert (last["backend"], last["device"], last["ended"]) == ("sketch", "cpu", "done")
