import json

from gateway.explaining.header import BYTES_MAX, decision_header
from policies.choosing import Choice, Refused, Rejection
from policies.vocabulary import Deployment
from tests.gateway.calls import DEAR, attempt, call


def test_the_record_is_a_header_of_ascii() -> None:
    made = call(attempt(), model="café☕")
    made.choice = Choice((DEAR,), 1)
    text = decision_header(made)
    assert text.isascii()
    assert text.isprintable()
    told = json.loads(text)
    assert told["model"] == "café☕"
    assert told["candidates"] == [{"deployment": "gpt-4o", "place": 1}]


def test_what_is_too_long_loses_details_then_candidates_that_were_refused() -> None:
    made = call(attempt())
    for count, keeps_refused in ((30, True), (200, False)):
        others = [Deployment(f"other-{number}", "p", "openai", "m") for number in range(count)]
        rejected = tuple(Rejection(other, Refused.CAPABILITY, "x" * 150) for other in others)
        made.choice = Choice((DEAR,), 1, rejected)
        text = decision_header(made)
        told = json.loads(text)["candidates"]
        assert len(text) <= BYTES_MAX
        assert told[0]["deployment"] == "gpt-4o"
        assert (len(told) == count + 1) is keeps_refused
