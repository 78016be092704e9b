"""`stylewatch render --from RECEIPT` repeats a job."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.daemon.cli.conftest import Ended, Run, files

from stylewatch_daemon.cli.build_order import RenderRequest, make_plan
from stylewatch_daemon.settings.job import JobSettings
from stylewatch_painter.network.weights import locate

PAIR = ("content.jpg", "style.jpg")
SKETCH = ("--backend", "sketch", "--steps", "4", "--save-every", "2")
Change = Callable[..., Ended]

pytestmark = pytest.mark.usefixtures("here")


def test_a_job_is_repeated_to_the_byte_whatever_the_settings_of_the_daemon(
    here: Path, run: Run
) -> None:
    (here / "own.yaml").write_text(f"{run('recipes', 'gatys').out}\n")
    words = (*PAIR, "style.jpg", "--recipe", "own.yaml", "--strength=0.25", "--seed=7",
             "--content-weight", "2", "--set", "style_size=[16,50%]", "--set", "format=webp",
             "--set", "quality=50", "--set", "final='{content}'")  # fmt: skip
    assert run("render", *SKETCH, *words, "--artifact", "sheet", "-o", "first").code == 0
    (here / "config.yaml").write_text("job: {color: content, format: tiff, strength: 0.9}")
    ended = run("render", "--from", "first", "-o", "again", "--json")
    assert ended.code == 0, ended.err
    first, again = json.loads((here / "first/receipt.json").read_text()), json.loads(ended.out)
    assert (again["recipe"], again["inputs"]) == (first["recipe"], first["inputs"])
    assert files(here / "again") == files(here / "first")
    for name in files(here / "first") - {"receipt.json", "losses.csv", "sheet.png"}:  # with times
        assert (here / "again" / name).read_bytes() == (here / "first" / name).read_bytes(), name
    assert str(here) not in json.dumps(first["settings"])


@pytest.fixture
def change(here: Path, run: Run) -> Change:
    """Repeat a job of the folder `first` after a change of its receipt, with more words."""
    painted = ("render", *PAIR, *SKETCH, "--init", "style.jpg", "-o", "first", "--quiet")
    assert run(*painted).code == 0
    file = here / "first/receipt.json"
    plain = json.loads(file.read_text())

    def repeat(changes: Mapping[str, Any], *words: str) -> Ended:
        file.write_text(json.dumps({**plain, **changes}))
        return run("render", "--from", file, "-o", "again.png", *words)

    return repeat


def test_inputs_are_known_by_digest_and_other_pictures_are_reported(
    here: Path, change: Change
) -> None:
    inputs = here / "first/inputs"
    (inputs / "content.jpg").rename(inputs / "other.jpg")
    assert change({}, "--quiet").err == ""
    ended = change({}, "style.jpg", "style.jpg", "--steps", "2", "--force")
    assert (ended.code, ended.lines) == (0, ["again.png"])
    assert "style.jpg is not the content of the receipt, content.jpg" in ended.err
    (inputs / "other.jpg").rename(here / "secret.jpg")
    digest = {"sha256": "", "size": [4, 3], "converted": []}
    outside = {"role": "content", "name": "../secret.jpg", **digest}
    ended = change({"inputs": [outside]}, "--force")
    assert ended.code == 65 and "inputs/secret.jpg does not exist; with --from, name" in ended.err


def test_a_tile_and_a_history_that_memory_limited_are_used_again_on_the_users_device(
    here: Path, change: Change
) -> None:
    decided = {"tile": 768, "history": 4, "device": "cpu"}
    attempts = [{"backend": "torch", "decided": {"tile": 96}, "ended": "failed"},
                {"backend": "torch", "decided": decided, "ended": "done"}]  # fmt: skip
    job = JobSettings(backend="torch", device="cuda:3").model_dump(mode="json")
    change({"attempts": attempts, "settings": job}, "no.jpg", "no.jpg")
    (here / "config.yaml").write_text(
        "{job: {device: cpu}, backends: {torch: {tile: none, threads: 1}}}"
    )
    for sets, tile in (([], 768), (["backends.torch.tile=64"], 64)):
        given = RenderRequest(job={"sets": sets}, receipt=here / "first")
        order = make_plan(given, here).order
        assert order.backend_options == {"threads": 1, "tile": tile, "history": 4}
        assert order.settings.device == "cpu"


def test_the_weights_are_those_of_the_receipt(here: Path, change: Change) -> None:
    job = JobSettings(backend="torch").model_dump(mode="json")
    here_now = locate("bundled").for_receipt()
    (here / "config.yaml").write_text("backends: {torch: {weights: caffe}}")
    for changes, remarks in (
        ({}, ()),
        ({"normalization": None}, ()),  # of an earlier version
        ({"normalization": "torchvision"}, ("the weights 'bundled' are not those of the receipt",)),
        ({"sha256": "0" * 64}, ("the weights 'bundled' are not those of the receipt",)),
    ):
        change({"weights": {**here_now, **changes}, "settings": job}, "no.jpg", "no.jpg")
        plan = make_plan(RenderRequest(receipt=here / "first"), here)
        assert plan.order.backend_options == {"weights": "bundled"}
        assert plan.remarks == remarks


def test_a_package_that_the_receipt_takes_is_named(change: Change) -> None:
    ended = change({"packages": {"histo": "1.0"}})
    assert ended.code == 69 and "takes histo 1.0, which is not installed" in ended.err
    ended = change({"packages": {"numpy": "0"}})
    assert ended.code == 69  # it brings no losses


def test_an_option_replaces_the_masks_of_its_side(here: Path, change: Change) -> None:
    file = here / "first/receipt.json"
    plain = json.loads(file.read_text())["inputs"]
    masks = [{**each, "role": f"{each['role']}-mask"} for each in plain[:2]]
    change({"inputs": [*plain, *masks]}, "no.jpg", "no.jpg")
    inputs, own = here / "first/inputs", here / "style.jpg"
    of_receipt = {"content-mask": inputs / "content.jpg", "style-1-mask": inputs / "style.jpg"}
    for job, replaced in (
        ({}, {}),
        ({"mask": str(own)}, {"content-mask": own}),
        ({"style_mask": [str(own)]}, {"style-1-mask": own}),
    ):
        order = make_plan(RenderRequest(job=job, receipt=file), here).order
        assert order.masks == {**of_receipt, **replaced}
        assert order.init == inputs / "style.jpg"


def test_another_recipe_gets_the_settings_of_the_job(here: Path, run: Run) -> None:
    painted = ("render", *PAIR, *SKETCH, "--size", "32", "--strength", "0.25", "-o", "first")
    assert run(*painted).code == 0
    for job in ({"recipe": "gatys"}, {"sets": ["recipe=gatys"]}):
        plan = make_plan(RenderRequest(job=job, receipt=here / "first"), here)
        assert plan.recipe == plan.order.settings.resolve() and plan.recipe.name == "gatys"
        schedule = plan.recipe.schedule
        assert (schedule.start, schedule.keep_detail) == ("noise", 0.0)
        assert (schedule.size, schedule.steps) == ("32", 4)
        assert plan.recipe.objective.strength == 0.25
    assert "--size" not in run("render", "--from", "first", "--dry-run").err


PLAIN = {"backend": "sketch", "steps": "4", "save_every": "2"}
WEIGHED = {**PLAIN, "recipe": "gram", "content_weight": "2", "style_weight": "3",
           "style_size": "24", "init": "content", "keep_detail": "0.25"}  # fmt: skip
FAST = {"backend": "sketch", "schedule": "fast", "steps": "3", "size": "32"}
Painted = tuple[Any, bytes]


def _painted(run: Run, output: str, *words: object) -> Painted:
    """Render into the folder `output`; return what the receipt says was asked, and the bytes."""
    ended = run("render", *words, "-o", f"{output}/", "--json")
    assert ended.code == 0, ended.err
    receipt = json.loads(ended.out)
    inputs = [(each["role"], each["sha256"]) for each in receipt["inputs"]]
    recorded = (receipt["recipe"], receipt["settings"], inputs)
    return recorded, Path(output, "final.png").read_bytes()


def _sets(settings: Mapping[str, str]) -> list[str]:
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


@pytest.mark.parametrize("base", [PLAIN, WEIGHED, FAST], ids=["plain", "weighed", "fast"])
def test_an_option_means_what_it_means_without_from(
    base: Mapping[str, str], here: Path, run: Run
) -> None:
    _painted(run, "first", *PAIR, *_sets(base))
    options: list[dict[str, str]] = [
        {},
        {"content_weight": "5"},
        {"style_weight": "0.5"},
        {"content_weight": "null"},
        {"schedule": "fast"},
        {"schedule": "source"},
        {"style_size": "50%"},
        {"strength": "0.25"},
        {"steps": "null"},
        {"init": "noise"},
        {"keep_detail": "0.5"},
    ]
    for number, option in enumerate(options):
        direct = _painted(run, f"direct-{number}", *PAIR, *_sets({**base, **option}))
        again = _painted(run, f"again-{number}", "--from", "first", *_sets(option))
        assert again == direct, option


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("only", ["style", "content"])
def test_one_side_of_a_pair_is_that_side(only: str, is_masked: bool, here: Path, run: Run) -> None:
    Image.new("L", (48, 36), 255).save(here / "mask.png")
    settings = {"backend": "torch", "steps": "1", "size": "32"} if is_masked else PLAIN
    paintings, mask = ("style.jpg", "content.jpg"), ("--mask", "mask.png") if is_masked else ()
    _painted(run, "first", "content.jpg", *paintings, *_sets(settings), *mask)
    named = paintings if only == "style" else ("content.jpg",)
    direct = _painted(run, "direct", *named, *_sets(settings), "--only", only)
    assert _painted(run, "again", "--from", "first", "--only", only) == direct
    assert _painted(run, "third", "--from", "again") == direct
    other = "content" if only == "style" else "style"
    for words, sentence in (
        (("--only", other), f"with --only {other} takes "),
        (("--set", "only=null"), "takes a photograph and at least one style"),
    ):
        ended = run("render", "--from", "direct", *words)
        assert ended.code == 64 and sentence in ended.err


def test_a_changed_recipe_is_repeated_but_not_what_is_relative_to_it(here: Path, run: Run) -> None:
    (here / "config.yaml").write_text("recipes: [own]")
    own = here / "own/own.yaml"
    own.parent.mkdir()
    own.write_text("{extends: gram, about: Ours.}")
    recorded, picture = _painted(run, "first", *PAIR, *_sets({**WEIGHED, "recipe": "own"}))
    for change in (lambda: own.write_text("{extends: gram, about: Other.}"), own.unlink):
        change()
        again = _painted(run, f"again-{own.exists()}", "--from", "first")
        assert (again[0][0], again[1]) == (recorded[0], picture)
        for option in ("content_weight=5", "style_weight=2", "schedule=fast", "only=style",
                       "style_size=50%"):  # fmt: skip
            ended = run("render", "--from", "first", "--set", option, "--dry-run")
            name, sentence = option.split("=")[0], "the recipe own of this receipt has changed"
            assert ended.code == 64 and sentence in ended.err and name in ended.err
            assert len(ended.err.splitlines()) == 1
        for option in ("style_size=16", "strength=0.5", "steps=3"):
            assert run("render", "--from", "first", "--set", option, "--dry-run").code == 0


def test_a_dropped_picture_to_start_from_needs_no_setting(here: Path, change: Change) -> None:
    settings = json.loads((here / "first/receipt.json").read_text())["settings"]
    change({"settings": {**settings, "init": None}}, "no.jpg", "no.jpg")
    request = RenderRequest(job={"content_weight": "2"}, receipt=here / "first")
    plan = make_plan(request, here)
    assert plan.recipe.schedule.start == "picture" and plan.order.settings.recipe == "best"
    assert plan.recipe == plan.order.settings.resolve()


def test_a_receipt_that_cannot_be_repeated_is_refused(here: Path, change: Change, run: Run) -> None:
    for changes, sentence in (
        ({"settings": {"seed": 10**30}}, "settings of this receipt cannot be used: seed: "),
        ({"settings": None}, "is not a receipt: settings: "),
        (
            {"attempts": [{"backend": "sketch", "decided": {"tile": 3}, "ended": "done"}]},
            "the options of this receipt cannot be used: ",
        ),
        ({"recipe": {"name": "a"}}, "the recipe of this receipt cannot be used: "),
    ):
        ended = change(changes)
        assert ended.code == 65 and sentence in ended.err and len(ended.err.splitlines()) == 1
    (here / "receipt.json").write_text("[" * 100_000)
    ended = run("render", "--from", ".")
    assert ended.code == 65 and "receipt.json is not a receipt: " in ended.err
