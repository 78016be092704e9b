"""The optimizers, one in each module: settings, step, state and memory.

Each module has a subclass of `OptimizerSettings`, whose `kind` names it in recipes. A new optimizer
is a new module: nothing else lists them.
"""

from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules

from stylewatch_painter.optimizers.optimizer import OptimizerSettings


def kinds() -> list[type[OptimizerSettings]]:
    """Return the settings of all optimizers, sorted by module."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return [
        settings
        for module in modules
        for settings in vars(module).values()
        if isinstance(settings, type)
        and issubclass(settings, OptimizerSettings)
        and settings.__module__ == module.__name__
        and not isabstract(settings)
    ]
