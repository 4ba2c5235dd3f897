import pytest

from adapters.openai_request import parse
from gateway.subjects import ANYONE, subject_of
from policies.vocabulary import Endpoint, Principal, Subject
from tests.gateway.stages.a_call import a_call

WHO = Principal("k", "k")
BODY = b'{"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://x/a"}]}]}'


def test_a_call_as_conditions_see_it() -> None:
    call = a_call(("X-Tier", "gold"))
    call.request, call.principal, call.received_at_ns = parse(Endpoint.CHAT, BODY), WHO, 1_500_000_000
    subject = subject_of(call)
    assert subject[:5] == (WHO, Endpoint.CHAT, "m", False, call.request.members)
    assert subject.headers.get("x-tier") == "gold"
    assert subject.images() == 1
    assert subject.tokens() > len(BODY)
    assert subject.now_s == pytest.approx(1.5)


def test_nothing_is_kept_from_one_call_for_another() -> None:
    first, second = subject_of(a_call()), subject_of(a_call())
    assert first.known == {}
    assert first.known is not second.known


def test_it_has_every_field_that_a_subject_has() -> None:
    assert len(subject_of(a_call())) == len(Subject._fields)


def test_without_keys_it_is_nobody_in_particular() -> None:
    assert subject_of(a_call()).principal is ANYONE
