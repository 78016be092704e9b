"""What a plain form says: little, and read at once."""

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

LONGEST = 16_384
"""Bytes of a form without files."""

WITHIN = 10.0
"""Seconds in which a form has to be here."""

FIELDS = 50
"""Fields of a form."""


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a form by their names; what is empty is left out.

    Raises HTTPException where it is too long, too slow, or no such form.
    """
    kind = request.headers.get("content-type", "application/x-www-form-urlencoded")
    if kind.partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a plain form is wanted: application/x-www-form-urlencoded")
    content = bytearray()
    try:
        async with asyncio.timeout(WITHIN):
            async for chunk in request.stream():
                content += chunk
                if len(content) > LONGEST:
                    raise HTTPException(413, f"a form has at most {LONGEST} bytes")
    except TimeoutError:
        raise HTTPException(408, "the form did not come in time") from None
    try:
        pairs = parse_qsl(
            content.decode("ascii"), strict_parsing=bool(content), max_num_fields=FIELDS
        )
    except ValueError:
        raise HTTPException(400, "that is no form") from None
    return {name: value.strip() for name, value in pairs if value.strip()}
