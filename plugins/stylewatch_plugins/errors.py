"""Every error about backends themselves, rather than about pictures, as one tree.

    BackendError
    ├── BackendMissingError    no such backend, or one that is broken or cannot run here
    ├── BackendOptionError     an option that the backend does not have or cannot take
    └── GraphError             a network's graph is damaged, or made for something else

Each message says in one sentence what was met and what helps.
"""


class BackendError(Exception):
    """Root of everything that goes wrong with a backend rather than with a picture."""


class BackendMissingError(BackendError):
    """No such backend, or one that is broken or cannot run on this machine."""


class BackendOptionError(BackendError, ValueError):
    """An option that the backend does not have, or a value it cannot take."""


class GraphError(BackendError):
    """A network's graph is damaged, or made for something else."""
