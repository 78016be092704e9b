"""Every error of the export, as one tree.

    ExportError
    ├── AskedError       what was asked for makes no graph
    └── UnequalError     a graph does not compute what torch computes

Each message says in one sentence what was met and what helps. Graphs that are damaged or made
for something else raise the GraphError of `stylewatch_plugins.errors`.
"""


class ExportError(Exception):
    """Root of everything that the export raises on purpose."""


class AskedError(ExportError, ValueError):
    """What was asked for makes no graph."""


class UnequalError(ExportError):
    """A graph does not compute what torch computes."""
