from __future__ import annotations

import pytest

from adapters.dialects.recipients import MAX_HEAD_CHARS
from tests.adapters.dialects.said import Message, read

CALLED = [["now", '{"a": 1}']]


@pytest.mark.parametrize(
    "head",
    [
        "<|channel|>commentary to=functions.now <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.now json<|message|>",
        "<|channel|>commentary to=functions.now<|message|>",
        "<|channel|>analysis to=functions.now code<|message|>",
        " to=functions.now<|channel|>commentary<|message|>",
        "<|start|>assistant to=functions.now<|channel|>commentary <|constrain|>json<|message|>",
        "<|start|>assistant<|channel|>commentary to=functions.now<|message|>",
    ],
)
def test_a_call_may_be_addressed_in_many_ways(head: str) -> None:
    for ending in ("<|call|>", "<|end|>", ""):
        written = head + '{"a": 1}' + ending
        assert read("harmony", written, cuts=range(len(written))) == Message(calls=CALLED)


def test_channels_are_told_apart() -> None:
    written = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>Wait.<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>So.<|end|><|start|>assistant<|channel|>final<|message|> Yes."
    )
    assert read("harmony", written, cuts=range(len(written))) == Message("Wait.Yes.", "Hm.So.")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("<|channel|>", "<|channel|>"),
        ("<|channel|>" + "x" * (MAX_HEAD_CHARS + 1), "<|channel|>" + "x" * (MAX_HEAD_CHARS + 1)),
        ("<|message|>plain", "plain"),
        ("plain<|channel|>final<|message|>er", "plainer"),
        ("<|channel|>commentary to=functions.nobody<|message|>{}", "{}"),
        ("<|channel|>commentary to=functions.now<|message|>?<|call|>", "?"),
    ],
)
def test_nothing_is_lost_that_has_no_address(written: str, text: str) -> None:
    assert read("harmony", written, cuts=range(len(written))).text == text


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("now\n{}", Message(calls=[["now", "{}"]])),
        (">>>now\n{}>>>all\nDone", Message("Done", calls=[["now", "{}"]])),
        ("all\nA > B >> C", Message("A > B >> C")),
        ("no recipient at all", Message("no recipient at all")),
        ("nobody\n{}", Message("nobody\n{}")),
    ],
)
def test_functionary_names_its_recipients(written: str, message: Message) -> None:
    assert read("functionary", written, cuts=range(len(written))) == message
