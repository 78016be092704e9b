"""Each wrong value of each setting is refused in our words, not in those of a library (law 25)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from stylewatch_daemon.settings.config import Config
from stylewatch_daemon.settings.paths import BASE
from stylewatch_painter.recipes import book
from stylewatch_painter.recipes.recipe import Recipe
from stylewatch_painter.validation import mistakes

WRONG: tuple[Any, ...] = (
    None, True, -1, 3.5, 10**30, float("inf"), float("nan"), "", "x", "0x1", "a\0b", "\ud800",
    b"x", [], [1], ["x"], ["x", "x"], [None], [[]], [1] * 2000, {}, {"a": 1}, {1: 2},
    {"conv1_1": "x"}, {"kind": "x"}, {"kind": 3},
)  # fmt: skip

LIBRARY = re.compile(
    r"tuple|pydantic|pathlib|<class|validation|codec|\bpars|\bstring|instance|\bdict"
    r"|value error|\binput should|field required|cannot be used|\bint\b|\bfloat\b|\bbool\b|\bstr\b",
    re.IGNORECASE,
)
"""Words of pydantic and of Python, and the sentence for errors that have none of their own."""

CONFIG = {
    "inboxes": [{"path": "/a", "outbox": "/b", "finals": "/c"}],
    "recipes": ["/r"],
    "backends": {"torch": {"threads": 2}},
    "executor": {"kind": "ray", "address": "auto", "resources": {"G": 1}},
    "alerts": {"urls": ["json://a"]},
    "web": {"listen": "127.0.0.1:80"},
    "watch": {"ignore": ["*.x"]},
    "job": {"style_size": ["50%", "area"], "style_weights": [1, 2], "size": "64", "steps": 4},
}


def whole(name: str) -> tuple[type[BaseModel], dict[str, Any]]:
    """Return a model, and values for all its fields."""
    if name == "config.yaml":
        return Config, Config.model_validate(CONFIG, context={BASE: Path("/")}).model_dump()
    return Recipe, book.find(name).model_dump(mode="json")


def places(plain: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each value, the inner ones first."""
    items: Any = ()
    if isinstance(plain, dict):
        items = plain.items()
    elif isinstance(plain, list | tuple):
        items = enumerate(plain)
    for key, value in items:
        yield from places(value, (*path, key))
        yield (*path, key)


def put(plain: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Return `plain` with another value at `path`."""
    if not path:
        return value
    first, *rest = path
    changed = plain.copy() if isinstance(plain, dict) else list(plain)
    changed[first] = put(plain[first], tuple(rest), value)
    return changed


@pytest.mark.parametrize("name", ["config.yaml", "best", "nnst", "strotss", "keras"])
def test_wrong_values_are_refused_in_plain_words(name: str) -> None:
    model, plain = whole(name)
    refused = 0
    for path in places(plain):
        for wrong in WRONG:
            try:
                model.model_validate(put(plain, path, wrong), context={BASE: Path("/")})
            except ValidationError as error:
                sentences = [str(mistake) for mistake in mistakes(error, model)]
                refused += 1
                assert sentences
                for sentence in sentences:
                    said = re.sub(r", got .*", "", sentence).replace(".".join(map(str, path)), "")
                    assert not LIBRARY.search(said), (path, wrong, sentence)
    assert refused > 100


def test_an_item_that_is_wrong_does_not_make_its_list_too_short() -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"inboxes": [{"paht": "/a"}]}, context={BASE: Path("/")})
    (mistake,) = mistakes(caught.value, Config)
    assert str(mistake) == "inboxes.0: unknown key 'paht'; did you mean 'path'?"
