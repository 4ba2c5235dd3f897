"""The parts of the engine's benchmark that turn what was seen into figures."""

from __future__ import annotations

import math

import pytest

from benchmarks.engine.aims import AIMS, Aim, verdict
from benchmarks.engine.cases import longest_pause, summary
from benchmarks.engine.prompts import question, story
from benchmarks.engine.report import Figures, Results, render
from benchmarks.engine.sse import Trace, read_answer

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = (
    b'data: {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5, '
    b'"prompt_tokens_details": {"cached_tokens": 4}}}\n\n'
)
EVENTS = (
    b'data: {"choices": [{"delta": {"role": "assistant", "content": ""}}]}\n\n',
    b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n',
    b'data: {"choices": [{"delta": {"content": "b"}}]}\n\n',
    USAGE,
    b"data: [DONE]\n\n",
)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_an_answer_is_timed_by_when_each_event_was_whole() -> None:
    whole = HEAD + b"".join(map(chunk, EVENTS)) + b"0\r\n\r\n"
    at = whole.index(b'"b"')
    trace = read_answer(1.0, [(2.0, whole[: at + 1]), (3.0, whole[at + 1 :])])
    assert (trace.texts_s, trace.tokens, trace.prompt_tokens, trace.cached_tokens) == ([2.0, 3.0], 5, 9, 4)
    assert (trace.ttft_s, trace.gaps_s()) == (1.0, [1.0])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_an_answer_reads_the_same_however_it_is_cut(size: int) -> None:
    whole = HEAD + b"".join(map(chunk, EVENTS)) + b"0\r\n\r\n"
    trace = read_answer(0.0, [(float(at), whole[at : at + size]) for at in range(0, len(whole), size)])
    assert (len(trace.texts_s), trace.tokens, trace.error) == (2, 5, "")


def test_what_is_no_answer_is_an_error() -> None:
    assert "503" in read_answer(0.0, [(1.0, b"HTTP/1.1 503 Busy\r\n\r\n{}")]).error
    assert read_answer(0.0, []).error == "no answer"


def test_a_summary_counts_failures_apart() -> None:
    row = summary([Trace(0.0, [1.0, 1.5], 10), Trace(0.0, error="no")], 2.0)
    assert (row["bad"], row["tokens"], row["tokens_s"], row["ttft_p50_ms"], row["itl_p95_ms"]) == (
        1,
        10,
        5.0,
        1000,
        500,
    )


def test_the_longest_pause_is_the_one_in_the_span() -> None:
    trace = Trace(0.0, [0.0, 5.0, 6.0, 9.0, 20.0])
    assert longest_pause(trace, 5.5, 8.0) == 3.0
    assert longest_pause(trace, 30.0, 31.0) == 0.0


def test_prompts_repeat_by_seed_and_differ_from_the_start() -> None:
    assert story("a") == story("a")
    assert story("a").system != story("b").system
    assert question("same", 1).system == question("same", 2).system


def row(system: str, number: int, tokens_s: float, callers: int = 1) -> dict[str, object]:
    return {
        "system": system,
        "round": number,
        "case": "throughput",
        "callers": callers,
        "tokens_s": tokens_s,
        "foreign": 0.0,
    }


def test_ratios_pair_rounds_and_aims_say_whether_they_are_reached() -> None:
    rows = [row("pointsman", 0, 110), row("llama-server", 0, 100), row("pointsman", 1, 90), row("llama-server", 1, 60)]
    figures = Figures(rows)
    pair = ("pointsman", "llama-server")
    assert figures.ratios(pair, "throughput", "tokens_s", 1) == [1.1, 1.5]
    assert verdict(Aim("more", pair, "throughput", "tokens_s", 1.2, callers=1), figures)[-1] == "reached"
    assert verdict(Aim("more", pair, "throughput", "tokens_s", 1.4, callers=1), figures)[-1] == "**missed**"
    assert verdict(Aim("other", pair, "stall", "stall_ms", 1.0), figures)[-1] == "not measured"


def test_the_report_tells_aims_noise_and_what_was_left_out() -> None:
    noisy = row("pointsman", 0, 50) | {"foreign": 0.5}
    rows = [row("pointsman", 1, 110), row("llama-server", 1, 100), noisy]
    text = render(Results(rows, {"xllamacpp": "not installed"}, 1, "python -m benchmarks.engine", 60.0))
    assert all(aim.what in text for aim in AIMS)
    assert "were dropped: 1 of 3" in text
    assert "xllamacpp: left out: not installed" in text
    assert "| pointsman | 110 |" in text
    assert not math.isnan(Figures(rows).ratios(("pointsman", "llama-server"), "throughput", "tokens_s", 1)[0])
