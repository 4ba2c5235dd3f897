from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.llama_cpp_job import Delta, Finished, Job, Sampling, Started, ToolSpec
from adapters.schema import InvalidRequest
from gateway.local.preparing.template import ChatTemplate
from tests.gateway.local.scheduling.engine_rig import Rig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.local.binding.llama import Model
    from gateway.local.preparing.prepare import Work

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
KNOWING = ChatTemplate("{% if tools %}TOOLS {% endif %}{{ messages[-1].content }}", bos="", eos="")
CONTEXT_TOKENS = 100


def prepare(model: Model, job: Job, template: ChatTemplate | None = None) -> Work:
    from gateway.local.preparing.prepare import Handle, Preparer  # noqa: PLC0415 - loads llama.cpp

    plain = ChatTemplate("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", bos="", eos="")
    work = Preparer(model, template or plain, CONTEXT_TOKENS).prepare(Handle(job))
    work.close()
    return work


def text_of(model: Model, work: Work) -> str:
    return b"".join(model.piece(token) for token in work.tokens).decode()


def test_a_conversation_is_rendered_and_a_prompt_is_not(model: Model) -> None:
    assert text_of(model, prepare(model, Job(1, messages=HI))) == "user: hi\n"
    assert text_of(model, prepare(model, Job(1, prompt="as it is"))) == "as it is"


BEGUN: dict[str, Any] = {"role": "assistant", "content": "Well, "}
CALLS = [{"function": {"name": "f", "arguments": {}}}]
SPOKEN = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize(
    ("job", "text"),
    [
        (Job(1, messages=[*HI, BEGUN]), "user: hi\n> Well, "),
        (Job(1, messages=[*HI, BEGUN, *HI]), "user: hi\nassistant: Well, \nuser: hi\n> "),
        (Job(1, messages=[*HI, {**BEGUN, "content": ""}]), "user: hi\nassistant: \n> "),
        (Job(1, messages=[*HI, {**BEGUN, "tool_calls": CALLS}]), f"user: hi\nassistant: Well, \n{SPOKEN}\n> "),
        (Job(1, messages=[BEGUN]), "assistant: Well, \n> "),
        (Job(1, messages=[*HI, BEGUN], schema="{}"), "user: hi\nassistant: Well, \n> "),
    ],
)
def test_an_answer_that_was_begun_goes_on(model: Model, job: Job, text: str) -> None:
    source = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}> {% endif %}"
    )
    assert text_of(model, prepare(model, job, ChatTemplate(source, bos="", eos=""))) == text


@pytest.mark.parametrize(("asked", "given"), [(None, 97), (5, 5), (1000, 97)])
def test_an_answer_is_as_long_as_asked_or_as_fits(model: Model, asked: int | None, given: int) -> None:
    work = prepare(model, Job(1, prompt="one two three", max_tokens=asked))
    assert (len(work.tokens), work.max_tokens) == (3, given)


@pytest.mark.parametrize(("words", "said"), [(100, "has 100 tokens"), (2_000_000, "has at least")])
def test_a_prompt_that_fills_the_context_is_refused_with_the_numbers(model: Model, words: int, said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"maximum context length is {CONTEXT_TOKENS}.*{said}") as refusal:
        prepare(model, Job(1, prompt=" a" * words))
    assert (refusal.value.code, refusal.value.param) == ("context_length_exceeded", "prompt")


def test_tools_reach_a_template_that_knows_them(model: Model) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    knowing = prepare(model, Job(1, messages=HI, tools=tools), KNOWING)
    assert (knowing.ignored, text_of(model, knowing)) == ((), "TOOLS hi")


def test_each_choice_has_a_chooser(model: Model) -> None:
    assert len(prepare(model, Job(1, prompt="x", choices=3, schema="{}")).choosers) == 3


@pytest.mark.parametrize(
    ("job", "param"),
    [
        (Job(1, prompt=""), "prompt"),
        (Job(1, prompt="x", sampling=Sampling(logit_bias=((49152, 1.0),))), "logit_bias"),
        (Job(1, prompt="x", schema='{"type": "nothing"}'), "response_format"),
        (Job(1, prompt="x", schema='{"$ref": "#"}', choices=2), "response_format"),
        (Job(1, prompt="x", forced_tools=(ToolSpec("f", "", '{"type": "nothing"}'),)), "tools"),
        (Job(1, prompt="x", forced_tools=(ToolSpec("f", "", '{"$ref": "#"}'),)), "tools"),
    ],
)
def test_what_cannot_be_prepared_names_its_parameter(model: Model, job: Job, param: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        prepare(model, job)
    assert refusal.value.param == param


def test_a_model_without_a_template_holds_no_conversations(model: Model) -> None:
    from gateway.local.preparing.prepare import Handle, Preparer  # noqa: PLC0415 - loads llama.cpp

    with pytest.raises(InvalidRequest, match="no chat template"):
        Preparer(model, None, CONTEXT_TOKENS).prepare(Handle(Job(1, messages=HI)))


def test_each_prompt_has_work_of_its_own_and_answers_are_counted_through(model: Model) -> None:
    work = prepare(model, Job(1, prompt="one", more_prompts=((5, 6), "two three"), choices=2, max_tokens=7, echo=True))
    works = (work, *work.siblings)
    assert [one.first_choice for one in works] == [0, 2, 4]
    assert [len(one.choosers) for one in works] == [2, 2, 2]
    assert [one.max_tokens for one in works] == [7, 7, 7]
    assert [text_of(model, one) for one in works] == ["one", text_of(model, works[1]), "two three"]
    assert works[1].tokens == [5, 6]
    assert [one.new_text().push(b"!") for one in works] == ["one!", text_of(model, works[1]) + "!", "two three!"]


def test_without_echo_an_answer_begins_with_itself(model: Model) -> None:
    assert prepare(model, Job(1, prompt="one")).new_text().push(b"!") == "!"


def test_one_prompt_that_does_not_fit_refuses_the_job(model: Model) -> None:
    with pytest.raises(InvalidRequest, match="maximum context length"):
        prepare(model, Job(1, prompt="one", more_prompts=(" a" * 200,)))


def test_an_end_that_is_ignored_is_never_chosen(model: Model) -> None:
    row = np.zeros(model.vocab_size, np.float32)
    row[[2, 7]] = [9, 5]
    assert model.ends_text(2)
    assert prepare(model, Job(1, prompt="x", sampling=Sampling(temperature=0))).choosers[0].choose(row) == 2
    bias = ((2, 50.0), (9, 1.0))
    ignoring = Job(1, prompt="x", ignore_eos=True, sampling=Sampling(temperature=0, logit_bias=bias))
    assert prepare(model, ignoring).choosers[0].choose(row) == 7


def test_choices_of_one_seed_differ_and_repeat(model: Model) -> None:
    row = np.zeros(model.vocab_size, np.float32)

    def drawn(seed: int | None) -> list[int]:
        job = Job(1, prompt="x", choices=3, sampling=Sampling(seed=seed, top_k=0))
        return [chooser.choose(row) for chooser in prepare(model, job).choosers]

    assert drawn(-1) == drawn(-1)
    assert len({*drawn(-1), *drawn(5), *drawn(None)}) == 9


def test_a_grammar_is_built_once_for_those_who_ask_for_the_same(model: Model) -> None:
    from gateway.local.preparing.prepare import Handle, Preparer  # noqa: PLC0415 - loads llama.cpp

    preparer: Any = Preparer(model, None, CONTEXT_TOKENS)
    for number in range(20):
        preparer.prepare(Handle(Job(1, prompt="x", schema=f'{{"const": {number % 10}}}')))
    assert len(preparer._grammars) == 8
    begun = preparer._grammars.copy()
    preparer.prepare(Handle(Job(1, prompt="x", schema='{"const": 9}')))
    assert preparer._grammars == begun


@pytest.mark.parametrize(("on_overflow", "left_out"), [("error", None), ("truncate", 125)])
def test_what_happens_to_long_prompts_is_the_policys_choice(
    model: Model, on_overflow: str, left_out: int | None
) -> None:
    from gateway.local.preparing.prepare import Handle, Preparer  # noqa: PLC0415 - loads llama.cpp

    preparer = Preparer(model, None, CONTEXT_TOKENS, on_overflow)
    job = Job(1, prompt_tokens=tuple(range(200)))
    if left_out is None:
        with pytest.raises(InvalidRequest, match="maximum context length"):
            preparer.prepare(Handle(job))
    else:
        assert preparer.prepare(Handle(job)).truncated_tokens == left_out


@pytest.fixture(scope="module")
def tiny(tiny_model_path: Path) -> Iterator[Model]:
    from gateway.local.binding.llama import Model, start_library  # noqa: PLC0415 - loads llama.cpp

    start_library()
    model = Model(tiny_model_path, lambda _: None)
    yield model
    model.close()


def answers(model: Model, job: Job) -> dict[int, str]:
    """The texts of all choices, as an engine writes them."""
    with Rig(model) as rig:
        rig.submit(job)
        rig.until(lambda: len(rig.ends(job.id)) == job.answers)
        assert all(isinstance(end, Finished) for end in rig.ends(job.id))
        assert sum(isinstance(event, Started) for event in rig.events) == 1 + len(job.more_prompts)
        deltas = [event for event in rig.events if isinstance(event, Delta)]
    return {choice: "".join(one.text for one in deltas if one.choice == choice) for choice in range(job.answers)}


def test_an_engine_answers_each_prompt_as_if_it_were_alone(tiny: Model) -> None:
    sampling = Sampling(seed=3)
    job = Job(1, prompt="the cat", more_prompts=("a dog",), choices=2, max_tokens=8, echo=True, sampling=sampling)
    written = answers(tiny, job)
    for number, prompt in enumerate(("the cat", "a dog")):
        alone = answers(tiny, Job(2, prompt=prompt, choices=2, max_tokens=8, echo=True, sampling=sampling))
        assert alone == {0: written[2 * number], 1: written[2 * number + 1]}
        assert alone[0].startswith(prompt)
        assert alone[0] != alone[1]


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(seed=1), Sampling(seed=2, top_k=0)], ids=str)
def test_a_model_that_writes_nonsense_writes_what_the_schema_says(tiny: Model, sampling: Sampling) -> None:
    properties = {"city": {"enum": ["Rome", "Oslo"]}, "days": {"type": "integer", "minimum": 1, "maximum": 365}}
    schema = {"type": "object", "properties": properties, "required": ["city", "days"], "additionalProperties": False}
    job = Job(1, prompt="the", schema=json.dumps(schema), strict=True, choices=3, max_tokens=400, sampling=sampling)
    for text in answers(tiny, job).values():
        value = json.loads(text)
        assert value.keys() == {"city", "days"}
        assert value["city"] in ("Rome", "Oslo")
        assert 1 <= value["days"] <= 365
