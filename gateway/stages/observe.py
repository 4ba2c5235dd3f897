"""Sees to it that every call, however it ends, is recorded once and leaves no gauge behind."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from gateway.call import Call, Reply
    from gateway.pipeline import Handler
    from gateway.records.recorder import Recorder


class Observe:
    """Deferred first, so it runs last: when the recorder gets a call, everything it took has been given back."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __call__(self, call: Call, then: Handler) -> Awaitable[Reply]:
        call.scope.defer(partial(self._recorder.record, call))
        return then(call)
