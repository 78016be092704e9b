"""Plain forms: what is in them, and that nobody keeps us busy with one."""

import asyncio
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message
from tests.daemon.web.visitors import visitor

from stylewatch_daemon.web import forms

PLAIN = "application/x-www-form-urlencoded"


def said(body: bytes, kind: str = PLAIN) -> object:
    """What is made of a form with this body."""
    chunks = [body[5:], body[:5]]

    async def receive() -> Message:
        chunk = chunks.pop()
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    headers = [(b"content-type", kind.encode())]
    return asyncio.run(forms.form(Request({"type": "http", "headers": headers}, receive)))


def test_fields_are_by_name_and_empty_ones_are_left_out() -> None:
    assert said(b"from_stage=3&note=%C3%A4+b&empty=&spaces=+") == {"from_stage": "3", "note": "ä b"}
    assert said(b"") == {}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"a=" + b"x" * forms.LONGEST, PLAIN, 413),
        (b"{}", "application/json", 415),
        (b"a=1", "multipart/form-data; boundary=x", 415),
        (b"a=\xff", PLAIN, 400),
        (b"no form at all", PLAIN, 400),
        (b"&".join([b"a=1"] * 99), PLAIN, 400),
    ],
)
def test_what_is_no_form_or_too_long_is_told_so(body: bytes, kind: str, status: int) -> None:
    with pytest.raises(HTTPException) as caught:
        said(body, kind)
    assert caught.value.status_code == status


def test_a_form_that_does_not_come_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forms, "WITHIN", 0.01)

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {}

    headers = [(b"content-type", PLAIN.encode())]
    with pytest.raises(HTTPException) as caught:
        asyncio.run(forms.form(Request({"type": "http", "headers": headers}, receive)))
    assert caught.value.status_code == 408
    assert visitor(tmp_path).get("/healthz").status_code == 200
