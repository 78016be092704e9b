"""A clip is painted frame by frame: scenes, checkpoints, segments, what comes out."""

import hashlib
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain, groupby, pairwise, repeat, takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.daemon.faults import unsynced
from tests.daemon.worker.orders import files, order, painted, receipt, table
from tests.painter.films import RATE
from tests.painter.films import film as write_film

from stylewatch_daemon.base.errors import SettingsError
from stylewatch_daemon.base.model import CONTENT_MASK, Progress, Started
from stylewatch_daemon.outbox.publish import CLIP_FOLDER
from stylewatch_daemon.worker import checkpoint, paint_clip, run_job
from stylewatch_daemon.worker.checkpoint import Snapshot
from stylewatch_daemon.worker.messages import AttemptStopped, Done, Event, FileStaged, Order, Saving
from stylewatch_daemon.worker.paint_clip import ClipPainter, ClipState
from stylewatch_daemon.worker.prepare import ClipFrames, prepare
from stylewatch_daemon.worker.regions import divided
from stylewatch_painter.images import read_clip
from stylewatch_painter.images.clip import ClipLimits
from stylewatch_painter.images.color import to_lab
from stylewatch_painter.optimizers.lbfgs import LbfgsSettings
from stylewatch_painter.paint import memory
from stylewatch_painter.recipes import earlier
from stylewatch_painter.recipes.book import change, find
from stylewatch_painter.scene.task import Task
from stylewatch_painter.stage import Bytes, Plane, Regions, Step, go_on
from stylewatch_plugins.contract import Wish
from stylewatch_plugins.torch_autograd import TorchAutograd

LIMITS = ClipLimits(20_000, 100)
COUNT, CUT = 8, 5
SIZE = 48, 32
BENCH = Path(__file__).parents[3] / "bench" / "pictures"


def view(number: int) -> Bytes:
    """A frame (32, 48, 3): a pan over soft spots, and after the cut over others."""
    draw = np.random.Generator(np.random.PCG64(int(number >= CUT)))
    coarse = draw.integers(0, 256, (6, 20, 3), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(coarse).resize((96, 32), Image.Resampling.BICUBIC))
    return wide[:, 2 * number : 2 * number + SIZE[0]]


def lossless(path: Path, frames: Sequence[Bytes]) -> Path:
    return write_film(path, "ffv1", frames=frames, pix_fmt="bgr0")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return lossless(tmp_path / "film.mkv", [view(number) for number in range(COUNT)])


def clip_order(folder: Path, pictures: Path, film: Path, **settings: Any) -> Order:
    """An order for the clip: frames of 48x32 in two steps, some first at half that size."""
    values = {"recipe": "gram", "backend": "torch", "steps": 4, "clip": {"format": "mkv"}}
    given = order(folder, pictures, **{**values, **settings, "size": settings.get("size", SIZE[0])})
    return replace(given, content=film)


@pytest.fixture
def given(tmp_path: Path, pictures: Path, film: Path) -> Order:
    return clip_order(tmp_path / "job", pictures, film)


def asked(given: Order, wish: Wish, after: int) -> Event:
    """The end of an attempt that is asked for `wish` once it was told so often to go on."""
    wishes = chain(repeat(Wish.GO_ON, after), repeat(wish))
    *_, end = run_job.work(given, lambda: next(wishes))
    return end


def stopped(given: Order, after: int) -> int:
    """The step at which an attempt stops, when asked as in `asked`."""
    end = asked(given, Wish.STOP, after)
    assert isinstance(end, AttemptStopped)
    return end.step


def continued(given: Order) -> int:
    """The step from which a new attempt continues; it paints the clip to the end."""
    started, *_, end = painted(given)
    assert isinstance(started, Started) and isinstance(end, Done)
    return started.step


def clip_painter(given: Order) -> ClipPainter:
    """The painter of an order for a clip."""
    painter = prepare(given).clip
    assert painter is not None
    return painter


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments have three frames, and each frame is followed by a checkpoint if one is wanted."""
    monkeypatch.setattr(paint_clip, "SEGMENT", 3)
    monkeypatch.setattr(run_job, "CHECKPOINT_COST", 0)


@pytest.fixture
def whole(tmp_path: Path, pictures: Path, film: Path) -> Order:
    """An order like `given` that was painted without an interruption."""
    painted(whole := clip_order(tmp_path / "whole", pictures, film))
    return whole


def test_a_clip_of_an_earlier_version_goes_on_unless_its_frames_would_be_others(
    given: Order, tmp_path: Path, pictures: Path, film: Path
) -> None:
    """That version hashed all settings, also those that change no frame."""
    curve = {"artifacts": ("losses.svg",)}
    drawn = replace(given, settings=given.settings.model_copy(update=curve))
    assert clip_painter(drawn).job.identity == clip_painter(given).job.identity
    old = clip_painter(drawn).job.earlier
    text = drawn.settings.text.replace("losses.svg", "losses.png")
    task = clip_painter(drawn).job.still(np.zeros((*SIZE[::-1], 3), np.uint8))
    digests = [record.sha256 for record in prepare(drawn).inputs]
    plain = "\n".join([earlier.identity(task.recipe), text, *digests])
    assert hashlib.sha256(plain.encode()).hexdigest() in old
    others = clip_order(tmp_path / "others", pictures, film, recipe="best", strength=0)
    assert clip_painter(others).job.earlier == ()


@pytest.mark.parametrize("color", ["match", "luminance"])
def test_a_clip_that_fades_in_is_painted_in_its_colors(
    color: str, tmp_path: Path, pictures: Path, film: Path
) -> None:
    """A clip that an earlier version began with the colors of a black frame starts anew."""
    black = np.zeros_like(view(0))
    fade = lossless(tmp_path / "fade.mkv", [black, *(view(number) for number in range(COUNT))])
    faded, whole = (
        clip_order(tmp_path / path.stem, pictures, path, color=color) for path in (fade, film)
    )
    prepared = prepare(faded)
    assert prepared.doubts == ()
    style, of_whole = (each.task.styles[0].picture for each in (prepared, prepare(whole)))
    assert abs(float(style.mean()) - float(of_whole.mean())) < 25
    for job in (clip_painter(faded).job, clip_painter(whole).job):
        task = job.still(np.zeros((*SIZE[::-1], 3), np.uint8))
        digests = [record.sha256 for record in prepare(job.order).inputs]
        text = "\n".join([earlier.identity(task.recipe), job.order.settings.text, *digests])
        is_known = hashlib.sha256(text.encode()).hexdigest() in job.earlier
        assert is_known is (job.order.content == film)
    nothing = lossless(tmp_path / "nothing.mkv", [black] * COUNT)
    (doubt,) = prepare(replace(faded, content=nothing)).doubts
    assert doubt.startswith("nothing.mkv shows one color alone")


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Task]:
    """The tasks of the frames, one by one, as they are painted from now on."""
    tasks: list[Task] = []
    paint = TorchAutograd.paint

    def painted_task(self: TorchAutograd, task: Task, wish: Callable[[], Wish]) -> Iterator[Step]:
        tasks.append(task)
        return paint(self, task, wish)

    monkeypatch.setattr(TorchAutograd, "paint", painted_task)
    return tasks


def shown(path: Path) -> list[Bytes]:
    return [frame.pixels for frame in read_clip.frames(path, LIMITS)]


def test_frames_are_steps_in_scenes_and_the_clip_has_them_all(given: Order, film: Path) -> None:
    started, *events = painted(given)
    assert isinstance(started, Started)
    assert (started.sizes, started.steps) == ((SIZE,), COUNT)
    assert isinstance(events[-1], Done)
    steps = [event.step for event in events if isinstance(event, Progress)]
    assert steps == sorted(steps) and {*steps} == {*range(COUNT + 1)}
    rows = table(given)
    assert [row["step"] for row in rows] == [str(n + 1) for n in range(COUNT)]
    names = [event.path for event in events if isinstance(event, FileStaged)]
    assert names == ["stages/0001.png", "losses.csv", "stages/0008.png", "losses.csv",
                     "final.mkv", "receipt.json"]  # fmt: skip
    frames = list(read_clip.frames(given.staging / "final.mkv", LIMITS))
    times = read_clip.inspect(given.staging / "final.mkv", LIMITS).times
    assert times == tuple(Fraction(n, RATE) for n in range(COUNT + 1))
    stage = np.asarray(Image.open(given.staging / "stages/0008.png"))
    np.testing.assert_array_equal(frames[-1].pixels, stage)
    assert all(
        np.abs(frame.pixels.astype(int) - view(n)).mean() > 5 for n, frame in enumerate(frames)
    )
    # a scene begins at the cut
    record = receipt(given)["clip"]
    assert (record["frames"], record["seconds"]) == (COUNT, COUNT / RATE)
    assert [(scene["first"], scene["frames"]) for scene in record["scenes"]] == [(0, 5), (5, 3)]
    totals = [float(row["total"]) for row in rows]
    assert record["scenes"][1]["total"] == pytest.approx(np.mean(totals[CUT:]), rel=1e-6)
    assert record["scenes"][1]["losses"]["total"] == pytest.approx(totals[CUT], rel=1e-6)
    held = [number for number, row in enumerate(rows) if float(row["temporal"] or 0) > 0]
    assert held == [1, 2, 3, 4, 6, 7], "all frames but the first of a scene"


@pytest.mark.usefixtures("short_segments")
def test_a_clip_continues_with_the_frame_it_was_at(
    tmp_path: Path, pictures: Path, film: Path, whole: Order
) -> None:
    """The files are the same bytes, wherever it was stopped; segments of three frames."""
    expected = files(whole)
    for at in range(1, COUNT):
        given = clip_order(tmp_path / f"stopped-{at}", pictures, film)
        step = stopped(given, after=at * 3)
        assert step < COUNT
        assert continued(given) == step
        results = files(given)
        for name in {*expected} - {"receipt.json"}:
            assert results[name] == expected[name], (at, name)
        assert {*results} == {*expected}


@pytest.mark.usefixtures("short_segments")
def test_killed_between_the_files_and_the_checkpoint_it_repeats_the_frame(
    tmp_path: Path, pictures: Path, film: Path, whole: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(Exception):
        pass

    save = checkpoint.save
    for number in range(COUNT - 1):
        given, left = clip_order(tmp_path / f"{number}", pictures, film), iter(range(number))

        def save_some(path: Path, snapshot: Snapshot, left: Iterator[int] = left) -> None:
            if next(left, None) is None:
                raise KilledError
            save(path, snapshot)

        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(checkpoint, "save", save_some)
            painted(given)
        painted(given)
        assert files(given)["final.mkv"] == files(whole)["final.mkv"]


@pytest.mark.usefixtures("short_segments")
def test_frames_are_durable_before_a_checkpoint_refers_to_them(
    given: Order, syncs: list[tuple[str, str]]
) -> None:
    painted(given)
    assert {Path(path).parent.name for what, path in syncs if what == "rename"} > {CLIP_FOLDER}
    assert unsynced(syncs, ("checkpoint",)) == []


@pytest.mark.usefixtures("short_segments")
def test_frames_that_are_decoded_again_give_signs_of_life(given: Order) -> None:
    at = stopped(given, after=26)
    first = takewhile(lambda event: not isinstance(event, Progress), painted(given))
    assert 3 < at <= sum(isinstance(event, Saving) for event in first)


def test_a_segment_that_is_encoded_gives_signs_of_life(given: Order) -> None:
    """The encoder of a large clip takes as long for a segment as a worker may be silent."""
    runs = ((kind, len([*run])) for kind, run in groupby(painted(given), type))
    assert max(length for kind, length in runs if kind is Saving) >= COUNT


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("kind", ["png", "mkv"])
def test_without_the_frames_of_its_checkpoint_it_starts_anew(
    kind: str, given: Order, whole: Order
) -> None:
    assert 3 < stopped(given, after=26) < COUNT
    next((given.staging / CLIP_FOLDER).glob(f"*.{kind}")).unlink()
    assert continued(given) == 0
    assert files(given)["final.mkv"] == files(whole)["final.mkv"]


def test_finish_gives_the_clip_so_far(given: Order) -> None:
    end = asked(given, Wish.FINISH, after=14)
    assert isinstance(end, Done) and end.receipt["state"] == "stopped early"
    count = end.receipt["clip"]["frames"]
    assert 1 <= count < COUNT
    assert len(shown(given.staging / "final.mkv")) == count
    assert receipt(given)["clip"]["seconds"] == pytest.approx(count / RATE)


def test_the_latest_frame_and_some_older_ones_of_the_scene_are_kept(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paint_clip, "REFERENCE_EVERY", 2)
    monkeypatch.setattr(paint_clip, "REFERENCES", 1)
    kept = dict[int, list[int]]()
    painter = clip_painter(given)
    for step in painter.paint(go_on, go_on):
        if isinstance(step, Step):
            kept.setdefault(step.step, [number for number, _ in painter.state.references])
    # none of a complete scene: they would fill the memory
    assert kept == {0: [], 1: [0], 2: [1, 0], 3: [2, 0], 4: [3, 2], 5: [4, 2], 6: [5],
                    7: [6, 5], 8: []}  # fmt: skip


def test_what_came_into_view_is_finished_however_small_a_share_of_steps_a_frame_has(
    tmp_path: Path, pictures: Path
) -> None:
    later = view(0).copy()
    later[14:19, 21:26] = view(CUT)[14:19, 21:26]
    film = lossless(tmp_path / "film.mkv", [view(0), *[later] * 4])
    fields = {"schedule.frame_share": 0.01}
    painter = clip_painter(clip_order(tmp_path / "job", pictures, film, fields=fields))
    finished = [
        int(painter.state.references[0][1].maturity[16, 23])
        for _ in painter.paint(go_on, go_on)
        if painter.state.references
    ]
    seen = list(dict.fromkeys(finished))
    assert seen[0] == 255 and seen[1:] == sorted(seen[1:]) and len(seen) == 4


@pytest.mark.parametrize(("side", "share"), [(16, 1.0), (5, 0.25 * paint_clip.FINE_ALONE)])
def test_what_came_into_view_lately_may_still_change_and_is_a_region_of_its_own(
    side: int, share: float, tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held by the temporal loss only as far as it is finished, and follows the style alone.

    A large part is painted at smaller sizes first, and is finished then; a small part is not.
    """
    later = view(0).copy()
    spot = np.s_[8 : 8 + side, 16 : 16 + side]
    later[spot] = view(CUT)[spot]
    film = lossless(tmp_path / "film.mkv", [view(0), *[later] * 3])
    painter = clip_painter(clip_order(tmp_path / "job", pictures, film))
    tasks = recorded(monkeypatch)
    assert len(list(painter.paint(go_on, go_on))) > 4
    first, *rest = tasks
    assert first.prior is None and first.content_mask is None
    center = np.s_[7 + side // 2 : 9 + side // 2, 15 + side // 2 : 17 + side // 2]
    for number, task in enumerate(rest):
        assert task.prior is not None
        held, init = task.prior.trust > 0, task.init
        assert init is not None and np.array_equal(task.prior.picture[~held], init[~held])
        trusted = min(1.0, share * number)
        assert task.prior.trust[center].mean() == pytest.approx(trusted, abs=0.1)
        assert task.prior.trust[:, 36:].mean() > 0.9
        assert len(task.levels()) == (2 if share == 1 and number == 0 else 1)
        if trusted < 1:
            assert task.content_mask is not None
            new, finished = np.moveaxis(task.content_mask, 2, 0)
            assert new[center].mean() > 0.9 and finished[:, 44:].mean() > 0.5


def test_a_slow_dissolve_begins_scenes_and_a_slow_change_of_a_part_does_not(
    tmp_path: Path, pictures: Path
) -> None:
    """The last frame is painted from what it shows, not from what the first one showed."""

    def scenes(name: str, last: Bytes) -> list[int]:
        shares = [min(1, number / 10) for number in range(12)]
        frames = [((1 - share) * view(0) + share * last).astype(np.uint8) for share in shares]
        film = lossless(tmp_path / f"{name}.mkv", frames)
        painter = clip_painter(clip_order(tmp_path / name, pictures, film, steps=1))
        assert len(list(painter.paint(go_on, go_on))) > len(frames)
        return [scene.first for scene in painter.state.scenes]

    caption = view(0).copy()
    caption[20:26, 10:30] = 255
    assert scenes("caption", caption) == [0]
    first, *later = scenes("dissolve", view(CUT))
    assert first == 0 and later


def test_a_mask_holds_for_all_frames_of_a_pan(
    tmp_path: Path, pictures: Path, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels that move into the region are painted anew; those that leave it are the photograph."""
    mask = np.zeros((32, 48), np.uint8)
    mask[:, :24] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    given = clip_order(tmp_path / "job", pictures, film, mask={"feather": "0"})
    given = replace(given, masks={CONTENT_MASK: tmp_path / "mask.png"})
    tasks = recorded(monkeypatch)
    assert len(list(clip_painter(given).paint(go_on, go_on))) > COUNT
    for task in tasks[1:CUT]:
        assert task.prior is not None
        assert task.prior.trust[8:-8, 22:24].mean() < 0.3, "this comes from the right"
        assert task.prior.trust[8:-8, 8:18].mean() > 0.8
        assert task.init is not None and task.content is not None
        assert (
            np.abs(task.init - task.content)[:, 25:].max() < 1
            and not task.prior.trust[:, 25:].any()
        )


@pytest.mark.parametrize(("recipe", "strength"), [("best", 0.2), ("best", 1.0)])
def test_a_still_film_in_one_ink_keeps_its_colors(
    recipe: str, strength: float, tmp_path: Path, pictures: Path
) -> None:
    """Each frame starts from the last painting as it was before the ink was drawn over it."""
    draw = np.random.Generator(np.random.PCG64(3))
    gray = Image.fromarray(draw.integers(0, 256, (12, 16), dtype=np.uint8)).resize((64, 48))
    share = np.asarray(gray, np.float64)[..., None] / 255
    ink, paper = np.array([30, 25, 40]), np.array([245, 235, 210])
    etching = tmp_path / "etching.png"
    Image.fromarray((ink + (paper - ink) * share).astype(np.uint8)).save(etching)
    film = lossless(tmp_path / "film.mkv", [view(0)] * 10)
    given = clip_order(tmp_path / "job", pictures, film, recipe=recipe, strength=strength)
    painted(replace(given, styles=(etching,)))
    chroma = [
        float(np.hypot(*np.moveaxis(to_lab(frame.astype(np.float32))[..., 1:], 2, 0)).mean())
        for frame in shown(given.staging / "final.mkv")
    ]
    assert chroma == pytest.approx([chroma[0]] * len(chroma), rel=0.06)


def test_a_film_of_one_photograph_does_not_flash(tmp_path: Path, pictures: Path) -> None:
    """Each frame has few steps, the last of which nothing checks: none of them may be too long."""
    photograph, painting = (
        Image.open(BENCH / name).convert("RGB") for name in ("coffee.jpg", "starry-night.jpg")
    )
    frame = np.asarray(photograph.resize((128, 96), Image.Resampling.LANCZOS))
    film = lossless(tmp_path / "film.mkv", [frame] * 5)
    painting.save(tmp_path / "painting.png")
    given = clip_order(tmp_path / "job", pictures, film, size=128)
    given = replace(given, styles=(tmp_path / "painting.png",), recipe=find("gram").model_dump())
    painted(given)
    frames = [frame.astype(np.float32) for frame in shown(given.staging / "final.mkv")]
    assert max(np.abs(now - before).mean() for before, now in pairwise(frames)) < 3


def test_only_frames_with_much_that_is_new_may_take_long_steps() -> None:
    recipe = change(find("gram"), {"optimizer.step_back": 1.5})
    searching = change(recipe, {"optimizer.line_search": "strong_wolfe"})
    for given, coarse, limit in (
        (recipe, False, 1.02),
        (recipe, True, 1.5),
        (change(recipe, {"optimizer.step_back": 1.01}), False, 1.01),
        (change(recipe, {"optimizer.step_back": None}), False, 1.02),
        (searching, False, 1.5),
    ):
        optimizer = paint_clip.following(given, coarse=coarse).schedule.optimizer
        assert isinstance(optimizer, LbfgsSettings) and optimizer.step_back == limit
    adam = change(recipe, {"optimizer": {"kind": "adam"}})
    assert paint_clip.following(adam, coarse=False).schedule.optimizer == adam.schedule.optimizer


def test_a_checkpoint_of_an_earlier_version_knows_no_changes(given: Order) -> None:
    painter = clip_painter(given)
    assert len(list(painter.paint(lambda: Wish.STOP, go_on))) >= 1
    new = (".change", ".redone")
    saved = {name: value for name, value in painter.state.save().items() if not name.endswith(new)}
    loaded = ClipState.load(saved)
    for (_, one), (_, other) in zip(loaded.references, painter.state.references, strict=True):
        assert np.array_equal(one.painted, other.painted)
        assert not one.change.any() and not one.redone.any()


def test_each_region_is_divided_with_its_styles(given: Order) -> None:
    task = prepare(given).task
    left: Regions = np.zeros((4, 6, 2), np.float32)
    left[:, :3, 0] = left[:, 3:, 1] = 0.5
    style = replace(task.styles[0], mask=np.eye(2, dtype=np.float32)[None])
    part: Plane = np.zeros((4, 6), np.float32)
    part[:2] = 1
    halves = divided(replace(task, content_mask=left, styles=(style, *task.styles)), part)
    assert halves.content_mask is not None and halves.styles[0].mask is not None
    assert np.array_equal(halves.content_mask[..., :2] + halves.content_mask[..., 2:], left)
    assert not halves.content_mask[2:, :, :2].any() and not halves.content_mask[:2, :, 2:].any()
    assert np.array_equal(halves.styles[0].mask, np.tile(np.eye(2), 2)[None])
    assert halves.styles[1].mask is None
    assert halves.styled_share == replace(task, content_mask=left).styled_share


def test_memory_is_planned_once_for_all_frames(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a later frame could be refused, or painted in other tiles."""
    monkeypatch.setattr(memory, "resident", lambda: 10**9)
    prepared = prepare(replace(given, memory=2 * 10**9))
    monkeypatch.setattr(memory, "resident", lambda: 3 * 10**9)
    assert prepared.clip is not None
    steps = [step for step in prepared.clip.paint(go_on, go_on) if isinstance(step, Step)]
    assert steps[-1].step == COUNT


def test_of_large_frames_one_is_kept_at_a_time(
    given: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, still = list[Any](), ClipFrames.still

    def alone(frames: ClipFrames, frame: Bytes) -> Task:
        assert all(task() is None for task in tasks)
        task = still(frames, frame)
        tasks.append(weakref.ref(task))
        return task

    monkeypatch.setattr(ClipFrames, "still", alone)
    prepared = prepare(given)
    assert prepared.clip is not None and prepared.task.content is not None
    assert prepared.task.content.strides == (0, 0, 0), "the first one is not kept, either"
    assert len([*prepared.clip.paint(go_on, go_on)]) > COUNT
    assert len(tasks) == COUNT


@pytest.mark.parametrize("format", ["webm", "mkv"])
def test_a_side_longer_than_the_flow_supports_is_refused(
    format: str, tmp_path: Path, pictures: Path, film: Path
) -> None:
    wide = {"size": "32768x2", "fields": {"fit": "stretch"}, "enlarge": True}
    given = clip_order(tmp_path / "job", pictures, film, clip={"format": format}, **wide)
    with pytest.raises(SettingsError, match=f"{format} holds at most 32766 pixels a side"):
        prepare(given)


def test_with_another_clip_it_starts_anew(given: Order, tmp_path: Path) -> None:
    assert stopped(given, after=9) > 0
    other = lossless(tmp_path / "other.mkv", [view(number) for number in range(6, COUNT)])
    assert continued(replace(given, content=other)) == 0
    assert receipt(given)["clip"]["frames"] == 2
