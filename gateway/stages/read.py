"""The body, read within its limits and parsed once."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from adapters.openai_request import parse
from adapters.schema import InvalidRequest
from gateway.errors import RequestError
from gateway.signals.conventions import Mark

if TYPE_CHECKING:
    from gateway.call import Call, Reply
    from gateway.pipeline import Handler


READ: Final = Mark.READ


class Read:
    async def __call__(self, call: Call, then: Handler) -> Reply:
        body = await call.read_body()
        try:
            call.request = parse(call.request.endpoint, body)
        except InvalidRequest as invalid:
            raise RequestError(
                invalid.message, status=invalid.status, code=invalid.code, param=invalid.param
            ) from invalid
        call.marks.append((READ, monotonic()))
        return await then(call)
