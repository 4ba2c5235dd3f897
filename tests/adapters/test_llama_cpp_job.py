from __future__ import annotations

import msgspec
import pytest

from adapters.llama_cpp_job import Event, Failed, Job, Sampling, Started


def test_events_tell_themselves_apart_on_the_wire() -> None:
    events = [Started(1, 2, 0), Failed(1, 400, "c", "m")]
    packed = msgspec.msgpack.encode(events)
    assert msgspec.msgpack.decode(packed, type=list[Event]) == events


def test_what_a_job_leaves_out_has_its_openai_meaning() -> None:
    job = msgspec.msgpack.decode(msgspec.msgpack.encode(["text", 7]), type=Job)
    assert job == Job(7)
    assert (job.choices, job.sampling, job.max_tokens) == (1, Sampling(temperature=1.0, top_p=1.0), None)


def test_jobs_do_not_change_once_made() -> None:
    with pytest.raises(AttributeError):
        Job(1).choices = 2  # type: ignore[misc]
