"""A clock for tests."""


class Clock:
    """A clock that moves only when `now` is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now
