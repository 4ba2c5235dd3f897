from __future__ import annotations

import pytest

from gateway.transport.errors import MESSAGES, TransportError
from policies.vocabulary import FailureKind


@pytest.mark.parametrize("kind", MESSAGES)
def test_each_kind_has_a_message_of_its_own(kind: FailureKind) -> None:
    error = TransportError(kind, sent=True)
    assert (error.failure.kind, error.failure.maybe_billed) == (kind, True)
    assert str(error) == error.failure.message == MESSAGES[kind]
    assert len(set(MESSAGES.values())) == len(MESSAGES)


def test_a_message_can_say_more() -> None:
    assert TransportError(FailureKind.CONNECT, "refused").failure.message == "refused"
