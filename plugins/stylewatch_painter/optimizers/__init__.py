"""The optimizers, one in each module: settings, step, state and memory.

Each module has a subclass of `OptimizerSettings`, whose `kind` names it in recipes. A new optimizer
is a new module, which needs no entry in a list, or an entry point of the group
`stylewatch.optimizers` with the name of the kind. An optimizer imports no loss, and torch only
where it is used. Begin with `optimizer`, then `adam`.
"""

from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any, get_args

from stylewatch_painter import installed
from stylewatch_painter.optimizers.optimizer import OptimizerSettings


def kinds() -> dict[str, type[OptimizerSettings]]:
    """Return the settings class of each optimizer of the painter and of installed packages by kind.

    Invalid entry points are left out.
    """
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    ours = {
        _kind(settings): settings
        for module in modules
        for settings in vars(module).values()
        if isinstance(settings, type)
        and issubclass(settings, OptimizerSettings)
        and settings.__module__ == module.__name__
        and not isabstract(settings)
    }
    return {**ours, **installed.load("optimizers", _misfit, ours)}


def _kind(settings: type[OptimizerSettings]) -> str:
    (kind,) = get_args(settings.model_fields["kind"].annotation)
    return str(kind)


def _misfit(kind: str, settings: Any) -> str | None:
    """Return why the class `settings` cannot be the optimizer `kind`; None if it can."""
    if not (isinstance(settings, type) and issubclass(settings, OptimizerSettings)):
        return "it is no subclass of OptimizerSettings"
    if isabstract(settings):
        return f"it lacks {', '.join(sorted(settings.__abstractmethods__))}"
    settings.model_rebuild()  # fails if the type of a field is not defined
    if get_args(settings.model_fields["kind"].annotation) != (kind,):
        return f"its settings lack kind: Literal[{kind!r}]"
    return None
