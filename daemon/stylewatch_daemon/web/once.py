"""Forms that are sent again, because their answer was lost or a button was pressed twice.

Each form that starts something has a field `once`, a text that nobody else would choose. The same
form with the same text is acted on once; if it is sent again, it gets the earlier answer.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from http import HTTPStatus
from weakref import WeakValueDictionary

from starlette.responses import Response

FIELD = "once"

MOST = 200
"""Maximum number of stored answers, and of stored numbers of forms. Beyond it, the oldest are
removed."""


class Once:
    """The latest answers to forms; a restart forgets them."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Hashable, Response] = OrderedDict()
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._numbers: OrderedDict[str, str] = OrderedDict()

    def number(self, of: str = "") -> str:
        """Return a new number for a form or, with `of`, the stored number of the form of that name.

        All pages that show this form get the same number until the form is sent.
        """
        if not of:
            return secrets.token_hex(16)
        number = self._numbers.setdefault(of, secrets.token_hex(16))
        while len(self._numbers) > MOST:
            self._numbers.popitem(last=False)
        return number

    async def answer(
        self, number: str, form: Hashable, act: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Return the earlier answer to `form` with this `number`, or else the answer of `act`.

        Wait while the same form with this number is being acted on. A refused form can be sent
        again, and a form without a number is always new.
        """
        if not number:
            return await act()
        key = number, form
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if key in self._answers:
                return self._answers[key]
            answer = await act()
            if answer.status_code < HTTPStatus.BAD_REQUEST:
                self._answers[key] = answer
                while len(self._answers) > MOST:
                    self._answers.popitem(last=False)
                for of in [of for of, used in self._numbers.items() if used == number]:
                    del self._numbers[of]
            return answer
