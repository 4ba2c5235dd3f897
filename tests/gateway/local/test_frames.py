from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.llama_cpp_job import (
    ChosenLogprob,
    Delta,
    EmbedJob,
    Failed,
    Finished,
    Job,
    Place,
    RerankJob,
    Sampling,
    Scores,
    Started,
    TokenLogprob,
    ToolSpec,
    Vectors,
)
from gateway.local.frames import (
    MAX_FRAME_BYTES,
    BrokenFrame,
    Cancel,
    FrameSplitter,
    Load,
    Ping,
    Pong,
    Progress,
    Ready,
    Refused,
    Report,
    Shutdown,
    Standing,
    Submit,
    Tuning,
    pack,
    unpack_order,
    unpack_reports,
)

ORDERS = [
    Load("/m.gguf", tuning=Tuning(slots=4, threads=2), chat_template="{{ x }}", plain_weights=True),
    Submit(
        Job(
            7,
            messages=[{"role": "user", "content": "é", "deep": [1, None, {"a": 1.5}]}],
            forced_tools=(ToolSpec("f", "does f", None),),
            sampling=Sampling(seed=-5, logit_bias=((3, float("-inf")),), top_logprobs=0),
            stop=("\n",),
        )
    ),
    Submit(EmbedJob(8, ("a", (1, 2)), Place("acme/red", 2.0, scope="acme"))),
    Submit(RerankJob(9, "q", ("a", "b"))),
    Cancel(7),
    Ping(),
    Shutdown(),
]
REPORTS: list[Report] = [
    Started(1, 10, 4, ("tools",)),
    Delta(1, 0, "é", 2, (ChosenLogprob(TokenLogprob(b"\xc3", -0.5), (TokenLogprob(b"x", -1.0),)),)),
    Finished(1, 0, "stop", 3),
    Failed(1, 400, "code", "message", "param"),
    Progress(50),
    Ready("m", 8192, 1, knows_tools=False, load_s=0.5),
    Pong(3, busy=True),
    Vectors(1, (b"\x00\x00\x80?",), 3, 0.1),
    Scores(1, (0.5, -1.0), 3),
    Standing(waiting=1, step_s=0.25),
    Refused("no"),
]


def bodies(data: bytes) -> list[bytes]:
    return list(FrameSplitter().feed(data))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_an_order_survives_the_wire(order: Load) -> None:
    assert [unpack_order(body) for body in bodies(pack(order))] == [order]


def test_many_reports_share_one_frame() -> None:
    (body,) = bodies(pack(REPORTS))
    assert unpack_reports(body) == REPORTS


@given(st.lists(st.integers(1, 40)))
def test_frames_come_out_whole_wherever_reads_fall(cuts: list[int]) -> None:
    data = pack(REPORTS) + pack(REPORTS[:1]) + pack([])
    splitter, at = FrameSplitter(), 0
    found: list[bytes] = []
    for cut in [*cuts, len(data)]:
        found += splitter.feed(data[at : at + cut])
        at += cut
    found += splitter.feed(data[at:])
    assert [unpack_reports(body) for body in found] == [REPORTS, REPORTS[:1], []]


def test_an_endless_frame_is_refused_before_it_is_stored() -> None:
    with pytest.raises(BrokenFrame):
        bodies((MAX_FRAME_BYTES + 1).to_bytes(4, "little"))


@given(st.binary(max_size=200))
def test_garbage_is_a_broken_frame_or_a_value_but_never_another_error(body: bytes) -> None:
    for unpack in (unpack_order, unpack_reports):
        try:
            unpack(body)
        except BrokenFrame:
            continue


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\x91\x63", b"HTTP/1.1 200 OK", b"\xff" * 50])
def test_known_garbage_is_refused(body: bytes) -> None:
    with pytest.raises(BrokenFrame):
        unpack_reports(body)


@pytest.mark.parametrize(
    "lie",
    [
        Delta(1, 0, "x", -5), Delta(1, -1, "x", 1), Delta(1, 0, "x", 2**40), Started(1, -3, 0), Started(1, 3, 2**63),
        Finished(1, 0, "stop", -1), Vectors(1, (), -1), Scores(1, (), 2**33), Standing(waiting=-1), Pong(-1, busy=True),
        Ready("m", 512, 1, knows_tools=False, load_s=0.0, slots=0),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_garbage(lie: Report) -> None:
    """Whoever took over a worker gets no money back."""
    (body,) = FrameSplitter().feed(pack([lie]))
    with pytest.raises(BrokenFrame):
        unpack_reports(body)
