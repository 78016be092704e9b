"""Forms that are sent again, because their answer was lost: each is acted on once.

A phone may lose the network after its form has arrived. So a form may have a field `once`, a text
that nobody else would choose: a form with a `once` that was answered gets that answer again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from weakref import WeakValueDictionary

from starlette.responses import Response

FIELD = "once"

MOST = 200
"""Number of answers that are kept, the latest ones."""


class Once:
    """The latest answers to forms, by their path and their field `once`; a restart forgets them."""

    def __init__(self) -> None:
        self._answers: OrderedDict[tuple[str, str], Response] = OrderedDict()
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def answer(
        self, path: str, number: str, act: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the earlier answer to a form with the field `number`, else that of `act`.

        While the same form is being acted on, this waits. A form that was refused can be sent
        again, and one without a number is always new.
        """
        if not number:
            return await act()
        key = path, number
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if key in self._answers:
                return self._answers[key]
            answer = await act()
            if answer.status_code < HTTPStatus.BAD_REQUEST:
                self._answers[key] = answer
                while len(self._answers) > MOST:
                    self._answers.popitem(last=False)
            return answer
