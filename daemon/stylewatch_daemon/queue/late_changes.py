"""Sentences about inputs that changed after they were taken, and the receipt that has them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from stylewatch_daemon.files.names import shown


def left(name: str) -> str:
    """What is said of a file that was copied, and whose original changed afterwards."""
    return (
        f"{shown(name)} changed after it was copied: this job uses the copy, and the changed pair "
        "stays in the inbox"
    )


def kept(name: str) -> str:
    """What is said of a file into which a program wrote while the job ran."""
    return (
        f"{shown(name)} changed while the job ran: the job used what it held before, and "
        f"inputs/{shown(name)} holds what was written since"
    )


def noted(receipt: bytes, changed: Mapping[str, str], copied: Iterable[str]) -> bytes:
    """A receipt that says which inputs have `changed`, each with the SHA-256 that it has now.

    The originals of those that were `copied` have changed in the inbox. Noting the same twice is
    noting it once. What is no receipt stays as it is.
    """
    plain = _parsed(receipt)
    if plain is None:
        return receipt
    for one in plain["inputs"]:
        if (digest := changed.get(one["name"])) is not None:
            one["changed"] = {"sha256": digest}
    sentences = [*map(kept, sorted(changed)), *map(left, sorted(copied))]
    plain["warnings"] = list(dict.fromkeys([*plain.get("warnings", ()), *sentences]))
    return (json.dumps(plain, indent=2, ensure_ascii=False) + "\n").encode()


def digests(receipt: bytes) -> dict[str, str]:
    """The SHA-256 of each input by its name, as the worker read it."""
    return {one["name"]: one["sha256"] for one in (_parsed(receipt) or {}).get("inputs", ())}


def _parsed(receipt: bytes) -> dict[str, Any] | None:
    """The receipt, if it has the form of one: others may write in an outbox too."""
    try:
        plain = json.loads(receipt)
        named = all({"name", "sha256"} <= one.keys() for one in plain["inputs"])
        return plain if named and isinstance(plain.get("warnings", []), list) else None
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
