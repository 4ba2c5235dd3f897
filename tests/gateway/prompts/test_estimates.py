"""Bounds against tiktoken itself, and what the cache saves."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.openai_request import parse
from gateway.prompts.bounds import IMAGE_TOKENS_MAX, OTHERS, WINDOW_TOKENS_DEFAULT
from gateway.prompts.count_cache import CountCache
from gateway.prompts.estimates import COUNTED_BYTES, INLINE_BYTES, LOOKED_UP_BYTES, WAITING_MAX, Estimator
from gateway.prompts.tokens import TokenCounter, encoding_of
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tiktoken

    from adapters.schema import InferenceRequest

SPECIAL = ("<|endoftext|>", "<|im_start|>system\n", "<|im_end|>", "[INST]", "</s>")
TEXTS = (
    st.text(max_size=60)
    | st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), max_size=60)
    | st.text(st.sampled_from('🙂👩‍👩‍👧‍👦🏳️‍🌈\u0000\u001f\u007f\n\r\t"\\/ é\u0301'), max_size=60)
    | st.sampled_from(SPECIAL)
)
PARTS = st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXTS), min_size=1, max_size=3)
CALL = st.builds(
    lambda name, arguments: {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}},
    TEXTS,
    TEXTS,
)
MESSAGES = st.lists(
    st.builds(lambda content: {"role": "user", "content": content}, TEXTS | PARTS)
    | st.builds(lambda name: {"role": "system", "content": "Be brief.", "name": name}, TEXTS)
    | st.builds(lambda calls: {"role": "assistant", "content": None, "tool_calls": calls}, st.lists(CALL, max_size=2)),
    min_size=1,
    max_size=4,
)
WORDS = "The pointsman sets the switches so that each train takes the right track, and writes down what passed. "


@pytest.fixture(scope="module")
def counter() -> Iterator[TokenCounter]:
    made = TokenCounter()
    asyncio.run(Estimator(made).warm(["gpt-4", "gpt-4o"]))
    yield made
    made.close()


@pytest.fixture
def tokenized(counter: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that the tokenizer gets to see."""
    seen: list[str] = []
    counted = counter.bound_of

    def bound_of(texts: list[str], encoding: str) -> int:
        seen.extend(texts)
        return counted(texts, encoding)

    monkeypatch.setattr(counter, "bound_of", bound_of)
    return seen


def asked(endpoint: Endpoint = Endpoint.CHAT, *, ascii_only: bool = True, **members: object) -> InferenceRequest:
    return parse(endpoint, json.dumps({"model": "m", **members}, ensure_ascii=ascii_only).encode())


def chat(*contents: object, **members: Any) -> InferenceRequest:
    return asked(messages=[{"role": "user", "content": content} for content in contents], **members)


def encoding(counter: TokenCounter, model: str) -> tiktoken.Encoding:
    found = counter._encoding(encoding_of(model))
    assert found is not None
    return found


def counted(counter: TokenCounter, model: str, messages: list[dict[str, Any]]) -> int:
    """OpenAI's cookbook ("How to count tokens with tiktoken"), and the words of tool calls."""
    tokens = 3
    for message in messages:
        texts = [message["role"], message.get("name", "")]
        content = message["content"]
        texts += [content] if isinstance(content, str) else [part["text"] for part in content or ()]
        for call in message.get("tool_calls", ()):
            texts += [call["function"]["name"], call["function"]["arguments"]]
        tokens += 3 + ("name" in message)
        tokens += sum(len(encoding(counter, model).encode_ordinary(text)) for text in texts)
    return tokens


@given(messages=MESSAGES, model=st.sampled_from(("gpt-4", "gpt-4o", "o3", "claude-x")), ascii_only=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_real_tokens_never_exceed_the_count_nor_that_the_bound(
    counter: TokenCounter, *, messages: list[dict[str, Any]], model: str, ascii_only: bool
) -> None:
    request = asked(messages=messages, ascii_only=ascii_only)
    estimator = Estimator(counter)
    exact = asyncio.run(estimator.exact(request, model))
    assert counted(counter, model, messages) <= exact <= estimator.bound(request)
    assert asyncio.run(estimator.exact(request, model)) == exact


@given(texts=st.lists(TEXTS, min_size=1, max_size=3), as_ids=st.booleans(), ascii_only=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_prompts_are_bounded_each(counter: TokenCounter, *, texts: list[str], as_ids: bool, ascii_only: bool) -> None:
    ids = [encoding(counter, "davinci-002").encode_ordinary(text) for text in texts]
    prompt = ([one for one in ids if one] or [[1]]) if as_ids else texts
    request = asked(Endpoint.COMPLETIONS, prompt=prompt, ascii_only=ascii_only)
    exact = asyncio.run(Estimator(counter).exact(request, "davinci-002"))
    assert exact == (sum(map(len, ids)) or as_ids)
    assert exact <= Estimator(counter).bound(request)


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
async def test_a_plain_conversation_is_counted_to_the_token(counter: TokenCounter, model: str) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": WORDS * 9, "name": "ann"}]
    assert await Estimator(counter).exact(asked(messages=messages), model) == counted(counter, model, messages)


async def test_other_families_take_twice_as_many_but_never_more_than_bytes(counter: TokenCounter) -> None:
    estimator, request = Estimator(counter), chat(WORDS * 20)
    text_tokens = len(encoding(counter, "gpt-4o").encode_ordinary(WORDS * 20)) + 1
    other = await estimator.exact(request, "mistral-large")
    assert other == 2 * text_tokens + OTHERS.message_tokens + OTHERS.prompt_tokens
    soup = chat("~!7^" * 200)
    assert await estimator.exact(soup, "mistral-large") <= estimator.bound(soup)


async def test_definitions_of_tools_count_as_their_json(counter: TokenCounter) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "description": WORDS, "parameters": {}}}]
    request, bare = chat("Hi", tools=tools), chat("Hi")
    assert Estimator(counter).bound(request) > Estimator(counter).bound(bare) + 2 * len(json.dumps(tools))
    with_tools = await Estimator(counter).exact(request, "gpt-4o")
    json_tokens = len(encoding(counter, "gpt-4o").encode_ordinary(json.dumps(tools)))
    assert with_tools == await Estimator(counter).exact(bare, "gpt-4o") + json_tokens + 16


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 90_000}}
LINK = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "A" * 32_000, "format": "mp3"}}


@pytest.mark.parametrize(
    ("part", "model", "tokens"),
    [
        (IMAGE, "gpt-4o", 85 + 8 * 170),
        (IMAGE, "gpt-4o-mini", IMAGE_TOKENS_MAX),
        (IMAGE, "gpt-4.1-nano", 3779),
        (LINK, "gpt-4o", 85),
        (LINK, "gpt-4o-mini", 2833),
        (AUDIO, "gpt-4o-audio-preview", 1000),
    ],
)
async def test_media_have_figures_of_their_own(
    counter: TokenCounter, part: dict[str, object], model: str, tokens: int
) -> None:
    estimator = Estimator(counter)
    exact = await estimator.exact(chat([part]), model)
    framing = 30
    assert tokens < exact < tokens + framing
    assert estimator.bound(chat([part])) >= exact
    assert estimator.bound(chat([LINK])) > IMAGE_TOKENS_MAX


ELSEWHERE = [
    chat([{"type": "file", "file": {"file_id": "file-1"}}]),
    chat([{"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"}}]),
    chat([{"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}]),
    asked(messages=[{"role": "assistant", "audio": {"id": "audio_1"}}]),
    chat("Hi", web_search_options={}),
    chat("Hi", tools=[{"type": "web_search"}]),
    chat("Hi", tools=[{"type": ["function"]}]),
    asked(Endpoint.RESPONSES, input="Hi", previous_response_id="resp_1"),
    asked(Endpoint.RESPONSES, input="Hi", conversation={"id": "conv_1"}),
    asked(Endpoint.RESPONSES, prompt={"id": "pmpt_1"}),
    asked(Endpoint.RESPONSES, input=[{"type": "item_reference", "id": "msg_1"}]),
    asked(Endpoint.RESPONSES, input=[{"id": "msg_1"}]),
    asked(Endpoint.RESPONSES, input=[{"role": "user", "content": [{"type": "input_file", "file_url": "https://x/a"}]}]),
    asked(Endpoint.COMPLETIONS, prompt="a", prompt_embeds="AAAA"),
    parse(Endpoint.CHAT, b'{"model":"m","messages":[{"role":"user","content":[{"type":"file","fil\\u0065":{}}]}]}'),
    parse(Endpoint.CHAT, b'{"model":"m","messages":[{"role":"user","content":"a","x":1e999}]}'),
]


@pytest.mark.parametrize("request_", ELSEWHERE, ids=range(len(ELSEWHERE)))
async def test_what_is_not_in_the_body_is_bounded_by_the_window(
    counter: TokenCounter, request_: InferenceRequest
) -> None:
    estimator = Estimator(counter)
    for context_tokens, least in ((None, WINDOW_TOKENS_DEFAULT), (8000, 8000)):
        assert estimator.bound(request_, context_tokens) >= least
        assert await estimator.exact(request_, "gpt-4o", context_tokens) >= least
    assert estimator.bound(request_, 8000) == 8000


HERE = [
    chat('{"file_id": "a", "image_url": "b", "audio": {"id": 1}, "previous_response_id": 1}'),
    asked(Endpoint.RESPONSES, input="Hi", previous_response_id=None, conversation=None),
    chat("Hi", tools=[{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "g"}}]),
    asked(Endpoint.RESPONSES, input=[{"type": "message", "id": "msg_1", "role": "user", "content": "Hi"}]),
]


@pytest.mark.parametrize("request_", HERE, ids=range(len(HERE)))
def test_what_only_looks_like_it_is_text(counter: TokenCounter, request_: InferenceRequest) -> None:
    assert Estimator(counter).bound(request_) < 2 * request_.body_bytes + 1000


async def test_no_prompt_outgrows_the_window_that_it_must_fit(counter: TokenCounter) -> None:
    estimator, request = Estimator(counter), chat(WORDS * 100)
    assert estimator.bound(request, 4096) == 4096
    assert await estimator.exact(request, "gpt-4o", 500) == 500
    assert estimator.bound(asked(Endpoint.EMBEDDINGS, input=["a" * 900] * 3), 100) == 300


async def test_a_ranking_reads_its_query_with_every_document(counter: TokenCounter) -> None:
    estimator, query, documents = Estimator(counter), WORDS * 20, [WORDS, WORDS * 2, "short"]
    request = asked(Endpoint.RERANK, query=query, documents=documents)
    words = encoding(counter, "gpt-4o").encode_ordinary
    read = sum(len(words(query)) + len(words(document)) for document in documents)
    for model in ("gpt-4o", "jina-reranker-v2"):
        exact = await estimator.exact(request, model)
        assert read <= exact <= estimator.bound(request) == estimator.quick(request)
    assert estimator.bound(request) > 3 * len(query)
    assert estimator.bound(request, 100) == 300


async def test_a_growing_conversation_costs_only_its_new_part(counter: TokenCounter, tokenized: list[str]) -> None:
    estimator, contents, counts = Estimator(counter), list[str](), list[int]()
    for turn in range(20):
        contents.append(f"{turn}: {WORDS * 3}")
        tokenized.clear()
        counts.append(await estimator.exact(chat(*contents), "gpt-4o"))
        assert [text for text in tokenized if text != "user"] == [contents[-1]]
    assert counts == sorted(counts)
    tokenized.clear()
    assert await estimator.exact(chat(*contents), "gpt-4.1") == counts[-1]
    assert tokenized == []
    await estimator.exact(chat(*contents), "gpt-4")
    assert len(tokenized) == 2 * len(contents)


async def test_the_cache_forgets_the_oldest(counter: TokenCounter, tokenized: list[str]) -> None:
    estimator = Estimator(counter, CountCache(entries_kept=2))
    for content in ("one", "two", "three", "one"):
        await estimator.exact(chat(content), "gpt-4o")
    assert [text for text in tokenized if text != "user"] == ["one", "two", "three", "one"]


async def test_short_new_text_is_counted_at_once_and_long_text_elsewhere(
    counter: TokenCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    bound_of = counter.bound_of

    def noted(texts: list[str], name: str) -> int:
        threads.append(threading.current_thread() is threading.main_thread())
        return bound_of(texts, name)

    monkeypatch.setattr(counter, "bound_of", noted)
    estimator = Estimator(counter)
    await estimator.exact(chat("a " * 100), "gpt-4o")
    await estimator.exact(chat("b " * INLINE_BYTES), "gpt-4o")
    await estimator.exact(chat("c " * LOOKED_UP_BYTES), "gpt-4o")
    assert threads == [True, False, False]


async def test_an_encoding_is_never_loaded_on_the_loop_and_can_be_loaded_before() -> None:
    fresh = TokenCounter()
    estimator = Estimator(fresh)
    assert not fresh.is_loaded("o200k_base")
    assert await estimator.exact(chat("Hi"), "gpt-4o") > 0
    assert fresh.is_loaded("o200k_base")
    assert not fresh.is_loaded("cl100k_base")
    await estimator.warm(["gpt-4", "gpt-3.5-turbo"])
    assert fresh.is_loaded("cl100k_base")
    fresh.close()


async def test_many_at_once_agree_and_each_text_is_counted_once(counter: TokenCounter, tokenized: list[str]) -> None:
    estimator = Estimator(counter)
    requests = [chat(*[f"{number}: {WORDS * 30}" for number in range(turns)]) for turns in (4, 4, 3, 2, 4, 1)]
    counts = await asyncio.gather(*(estimator.exact(request, "gpt-4o") for request in requests))
    assert counts == [await Estimator(counter).exact(request, "gpt-4o") for request in requests]
    assert [text[0] for text in tokenized[: 2 * 4] if text != "user"] == ["0", "1", "2", "3"]


async def test_endless_text_stays_cheap_and_bounded(counter: TokenCounter) -> None:
    estimator = Estimator(counter)
    word = chat("a" * (COUNTED_BYTES // 4))
    async with asyncio.timeout(10):
        exact = await estimator.exact(word, "gpt-4o")
    assert COUNTED_BYTES // 4 // 8 <= exact < COUNTED_BYTES // 4


async def test_more_than_can_be_counted_in_time_is_taken_by_its_bytes(
    counter: TokenCounter, tokenized: list[str]
) -> None:
    request = chat("Hi", "ab " * COUNTED_BYTES)
    exact = await Estimator(counter).exact(request, "gpt-4o")
    assert 3 * COUNTED_BYTES < exact <= Estimator(counter).bound(request)
    assert "Hi" in tokenized
    assert sum(map(len, tokenized)) < 100


async def test_a_damaged_encoding_leaves_the_bytes(counter: TokenCounter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter, "_encodings", {"o200k_base": None})
    assert await Estimator(counter).exact(chat("Grüße"), "gpt-4o") == 7 + len("user") + 6


async def test_where_too_many_wait_to_be_counted_the_bytes_must_do(counter: TokenCounter) -> None:
    estimator = Estimator(counter)
    requests = [chat(f"{number} {WORDS * 40}") for number in range(WAITING_MAX + 2)]
    counts = await asyncio.gather(*(estimator.exact(request, "gpt-4o") for request in requests))
    bounds = [estimator.bound(request) for request in requests]
    assert [count == bound for count, bound in zip(counts, bounds, strict=True)] == [False] * WAITING_MAX + [True] * 2
    assert await estimator.exact(requests[-1], "gpt-4o") < bounds[-1] // 2


@pytest.mark.parametrize("request_", ELSEWHERE[:-1], ids=range(len(ELSEWHERE) - 1))
def test_the_quick_bound_of_what_is_not_in_the_body_is_the_bound(
    counter: TokenCounter, request_: InferenceRequest
) -> None:
    assert Estimator(counter).quick(request_) == Estimator(counter).bound(request_)


@given(MESSAGES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_quick_bound_of_text_is_the_bound(counter: TokenCounter, messages: list[dict[str, Any]]) -> None:
    request = asked(messages=messages)
    assert Estimator(counter).quick(request) == Estimator(counter).bound(request)


def test_a_text_is_not_read_again_for_its_quick_bound(counter: TokenCounter) -> None:
    text, image = chat("Hi"), chat([LINK])
    text.members["messages"] = image.members["messages"]
    assert Estimator(counter).quick(text) < IMAGE_TOKENS_MAX < Estimator(counter).quick(image)
