"""Every error of the export, as one tree.

    ExportError
    ├── RequestError     no graph can be made of the options
    └── UnequalError     a graph does not compute what torch computes

Each message is one sentence: what happened, and what to do about it. Graphs that are damaged or
made for something else raise the GraphError of `stylewatch_plugins.errors`.
"""


class ExportError(Exception):
    """Root of everything that the export raises on purpose."""


class RequestError(ExportError, ValueError):
    """No graph can be made of the options."""


class UnequalError(ExportError):
    """A graph does not compute what torch computes."""
