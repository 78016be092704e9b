"""The sizes that the styles of a job are looked at: one rule for all, or one for each."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from stylewatch_daemon.errors import SettingsError
from stylewatch_painter.recipes.recipe import STYLE_SIZE, STYLE_SIZES, size_as_text

_SHARE = r"[1-9][0-9]{0,3}%"
_ANY = f"{STYLE_SIZE}|{_SHARE}"
_CHOICE = f"{STYLE_SIZES} or 50% (of what it would be)"

MOST_STYLES = 1000
"""Of a job that gives each a size or a weight of its own."""


def _checked(value: object) -> object:
    """A rule as text, or several as a tuple; raises ValueError for what is none."""
    if value is None:
        return None
    several = isinstance(value, list | tuple)
    given = value if isinstance(value, list | tuple) else [value]
    if len(given) > MOST_STYLES:
        raise ValueError(f"should have at most {MOST_STYLES} sizes")
    rules = tuple(size_as_text(one) for one in given)
    if not rules or not all(isinstance(one, str) and re.fullmatch(_ANY, one) for one in rules):
        raise ValueError(f"should be {_CHOICE}, or a list of these, one for each style")
    return rules if several else rules[0]


@dataclass(frozen=True)
class LookedAt:
    """How a style is looked at: by a `rule` of its own, by a `scale` on top; as was `asked`."""

    rule: str | None = None
    scale: float = 1.0
    asked: str | None = None


_RULE = {"anyOf": [{"type": "string", "pattern": f"^({_ANY})$"}, {"type": "integer", "minimum": 1}]}

Asked = Annotated[
    str | tuple[str, ...] | None,
    BeforeValidator(_checked),
    WithJsonSchema({"anyOf": [_RULE, {"type": "array", "items": _RULE}, {"type": "null"}]}),
]
"""`640`, `0.25mp`, `area` ... or `50%` of what the recipe's rule gives; a list has one for each."""


def of_all(asked: str | tuple[str, ...] | None) -> str | None:
    """The rule that holds for all styles alike, if one does: then it is the recipe's to keep."""
    rules = {asked} if isinstance(asked, str) else set(asked or ())
    return next(iter(rules)) if len(rules) == 1 and not any("%" in one for one in rules) else None


def of_each(asked: str | tuple[str, ...] | None, count: int) -> tuple[LookedAt, ...]:
    """How each of `count` styles is looked at; as the recipe has it where one rule holds for all.

    Raises SettingsError: there are not as many sizes as styles.
    """
    if isinstance(asked, tuple) and count and len(asked) != count:
        raise SettingsError(
            f"style_size has {len(asked)} sizes for {count} style pictures: give one for each, or "
            "one for all"
        )
    if asked is None or of_all(asked) is not None:
        return (LookedAt(),) * count
    rules = (asked,) * count if isinstance(asked, str) else asked[:count]
    return tuple(_looked_at(rule) for rule in rules)


def _looked_at(rule: str) -> LookedAt:
    if rule.endswith("%"):
        return LookedAt(scale=float(rule[:-1]) / 100, asked=rule)
    return LookedAt(rule=rule, asked=rule)
