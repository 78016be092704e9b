"""Messages from processes that decode hostile pictures: plain data, so that none can run here.

What such a process sends is not to be trusted: it is JSON, and becomes one of the records that
are expected, with fields of the right kinds, or nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LONGEST = 64 << 20
"""Bytes of a message; a receipt of many thousand stages is the longest that there is."""

Record = TypeVar("Record", bound="DataclassInstance")


def pack(record: "DataclassInstance") -> bytes:
    """The bytes of a record of plain values; raises TypeError or ValueError where one is not."""
    return json.dumps([type(record).__name__, asdict(record)], default=_plain).encode("ascii")


def unpack(raw: bytes, *kinds: type[Record]) -> Record:
    """The record in `raw`, which is of one of `kinds`; raises ValueError where there is none."""
    try:
        name, values = json.loads(raw)
        kind = next(one for one in kinds if one.__name__ == name)
        record: Record = _built(kind, values)
    except (StopIteration, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"a message that makes no sense: {raw[:80]!r}") from error
    return record


def _built(kind: Any, value: Any) -> Any:
    """`value`, as JSON has it, as one of `kind`."""
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _built(hints[name], inner) for name, inner in _mapping(value).items()})
    if get_origin(kind) is UnionType:
        return None if value is None else _built(get_args(kind)[0], value)
    if get_origin(kind) is tuple:
        return _tuple(get_args(kind), value)
    if get_origin(kind) is Mapping:
        return _mapping(value)
    if kind is float and isinstance(value, int):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind}")
    return value


def _tuple(kinds: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    if kinds[-1] is Ellipsis:
        return tuple(_built(kinds[0], one) for one in value)
    return tuple(_built(kind, one) for kind, one in zip(kinds, value, strict=True))


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no mapping")
    return value


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{value!r} cannot be sent")
