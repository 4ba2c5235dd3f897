"""What conditions are asked about: one call, told only as far as they look."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.prompts.estimates import prompt_bound
from gateway.prompts.media import images_in
from policies.vocabulary import Principal, Subject

if TYPE_CHECKING:
    from gateway.call import Call

ANYONE: Final = Principal("", "")
"""Stands for whoever calls a gateway that has no keys: of no team, with no tags."""

_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long


def subject_of(call: Call) -> Subject:
    """One per call and set of conditions: what one of them reads is kept for the others."""
    request = call.request
    members = request.members
    return _new(
        Subject,
        (
            call.principal or ANYONE,
            request.endpoint,
            request.model,
            request.stream,
            members,
            call.headers,
            partial(prompt_bound, request),
            partial(images_in, request),
            call.received_at_ns / 1e9,
            {},
        ),
    )
