"""Inputs of a job, copied to where all machines of a cluster can read them.

The daemon's own copies lie in the state folder, which the other machines need not have. The outbox
is mounted on all of them: so the pictures, and the user's own recipes, are copied into the staging
folder of their attempt, which is removed with it.

    outbox/.staging/JOB/ATTEMPT/.inputs/0/content.jpg
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stylewatch_daemon.outbox import publish
from stylewatch_daemon.worker.messages import Order

FOLDER = ".inputs"


def share(order: Order) -> Order:
    """Copy the inputs of `order` into its staging folder; return the order that names the copies.

    A file that cannot be read keeps its path: the worker reports it. Raises OSError and OutputError
    where the staging folder cannot be written.
    """
    copies: dict[Path, Path] = {}

    def copy(path: Path, folder: str = "") -> Path:
        if path not in copies:
            try:
                content = path.read_bytes()
            except OSError:
                return path
            name = f"{FOLDER}/{folder or len(copies)}/{path.name}"
            publish.stage(order.staging, name, content)
            copies[path] = order.staging / name
        return copies[path]

    def copy_recipes(number: int, folder: Path) -> Path:
        names = [copy(path, f"recipes-{number}") for path in sorted(folder.glob("*.yaml"))]
        return names[0].parent if names else folder

    settings = order.settings
    if settings.recipe.endswith((".yaml", ".yml")):
        recipe = str(copy(Path(settings.recipe)))
        settings = settings.model_copy(update={"recipe": recipe})
    return replace(
        order,
        settings=settings,
        content=order.content and copy(order.content),
        styles=tuple(copy(path) for path in order.styles),
        init=order.init and copy(order.init),
        masks={role: copy(path) for role, path in order.masks.items()},
        recipe_folders=tuple(
            copy_recipes(number, folder) for number, folder in enumerate(order.recipe_folders)
        ),
    )


def missing(order: Order) -> Path | None:
    """Return the first shared input that this machine does not see."""
    paths = (path for path in _paths(order) if path.is_relative_to(order.staging / FOLDER))
    return next((path for path in paths if not path.exists()), None)


def _paths(order: Order) -> Iterator[Path]:
    yield from (path for path in (order.content, *order.styles, order.init) if path is not None)
    yield from (*order.masks.values(), *order.recipe_folders, Path(order.settings.recipe))
