"""What an order takes along to another machine: its pictures, and recipes of one's own.

The daemon's own copies of them lie in the state folder, which is for this machine alone. Each
goes to a machine once, whatever number of jobs there need it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from stylewatch_daemon.executors.ray.input_cache import Parcel
from stylewatch_daemon.worker.contract import Order


@dataclass(frozen=True)
class Luggage:
    """The files of an order, by where they lie here; `recipes` are keys by their folders."""

    order: Order
    parcels: Mapping[Path, Parcel]
    recipes: Mapping[Path, str]

    @classmethod
    def of(cls, order: Order) -> "Luggage":
        """What `order` takes along; files that cannot be read stay behind, and are missed there.

        Reads them, the first time that it meets them.
        """
        parcels = {path: parcel for path in _pictures(order) if (parcel := _picture(path))}
        recipes = {}
        for folder in order.recipe_folders:
            found = [(path, parcel) for path in sorted(folder.glob("*.yaml"))
                     if (parcel := _picture(path))]  # fmt: skip
            told = "\n".join(f"{parcel.name} {parcel.sha256}" for _, parcel in found)
            key = recipes[folder] = hashlib.sha256(told.encode()).hexdigest()
            parcels |= {path: replace(parcel, key=key) for path, parcel in found}
        return cls(order, parcels, recipes)

    def unpacked(self, root: Path) -> Order:
        """The order as it is on a machine that has it all below `root`."""

        def there(path: Path) -> Path:
            parcel = self.parcels.get(path)
            return path if parcel is None else root / parcel.place

        order, settings = self.order, self.order.settings
        return replace(
            order,
            settings=settings.model_copy(update={"recipe": str(there(Path(settings.recipe)))}),
            content=order.content and there(order.content),
            styles=tuple(map(there, order.styles)),
            init=order.init and there(order.init),
            masks={whose: there(path) for whose, path in order.masks.items()},
            recipe_folders=tuple(root / self.recipes[one] for one in order.recipe_folders),
        )


def _pictures(order: Order) -> Iterator[Path]:
    """The files that it names; a recipe of one's own too, where it is named by its path."""
    yield from (path for path in (order.content, *order.styles, order.init) if path is not None)
    yield from order.masks.values()
    if order.settings.recipe.endswith((".yaml", ".yml")):
        yield Path(order.settings.recipe)


def _picture(path: Path) -> Parcel | None:
    try:
        seen = path.stat()
        digest = _digest(path, (seen.st_ino, seen.st_mtime_ns, seen.st_size))
    except OSError:
        return None
    return Parcel(digest, path.name, digest)


@lru_cache(maxsize=4096)
def _digest(path: Path, as_seen: tuple[int, int, int]) -> str:
    """Read anew only when the file is seen to be another one."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
