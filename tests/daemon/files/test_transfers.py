"""Long work runs beside the main loop, which asks for its result later; short work at once."""

from threading import Event, get_ident

import pytest

from stylewatch_daemon.errors import InProgressError, OutputError
from stylewatch_daemon.files.transfers import SMALL, Transfers


class Place(Transfers):
    """Waits to be woken."""

    def __init__(self) -> None:
        self.woken, self.may_go_on = Event(), Event()
        super().__init__(self.woken.set)

    def result(self, key: str = "a") -> int:
        """The thread in which the work was done, once it is."""
        return self.run(key, SMALL, self._work)

    def _work(self) -> int:
        self.may_go_on.wait()
        self.step()
        return get_ident()


def test_short_work_is_done_at_once() -> None:
    assert Transfers().run("a", SMALL - 1, get_ident) == get_ident()


def test_long_work_is_done_beside_us_and_its_result_is_given_once() -> None:
    place = Place()
    for _ in range(2):
        with pytest.raises(InProgressError):
            place.result()
    assert place.has("a")
    place.may_go_on.set()
    place.woken.wait()
    assert place.result() != get_ident()
    assert not place.has("a")
    place.close()


def test_what_goes_wrong_is_raised_where_the_result_is_asked_for() -> None:
    place = Place()

    def fail() -> None:
        place.may_go_on.wait()
        raise OSError(28, "No space left on device")

    with pytest.raises(InProgressError):
        place.run("a", SMALL, fail)
    place.may_go_on.set()
    place.woken.wait()
    with pytest.raises(OSError, match="No space"):
        place.run("a", SMALL, fail)
    place.close()


def test_leaving_ends_what_runs_and_begins_nothing_more() -> None:
    place = Place()
    for key in ("a", "b"):
        with pytest.raises(InProgressError):
            place.result(key)
    place.may_go_on.set()
    place.close()
    with pytest.raises(OutputError, match="next start"):
        place.step()
