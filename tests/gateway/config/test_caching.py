from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config.compile import deployments
from gateway.config.compile_routes import routing
from policies.cache_rules import CacheRules, JudgeRules, ReplayPace, SemanticRules, ShadowRules, Sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Config

FULL = (
    "{exact: {ttl: 30d, near: false}, semantic: {max_false_hits: 2%, entities: true, "
    "shadow: {share: 5%, per_hour: 7, max_cost: 1 USD/day}, judge: {deployment: gpt, max_risk: 40%, within: 1s}}, "
    "share: org, max_temperature: 0.2, max_answer: 2MiB, ignore: [user, metadata], "
    "stream: {piece_chars: 8, pause: 5ms}, charge_hits: true, tags: [faq, v2], group: help}"
)


def rules_of(config: Config) -> CacheRules | None:
    (route,) = routing(config, deployments(config, lambda *_: None))
    return route.cache


@pytest.mark.parametrize("written", ["true", "{}"])
def test_little_is_needed_for_the_levels_that_compare_words(written: str, made: Callable[..., Config]) -> None:
    assert rules_of(made(routes=f"[{{model: a, targets: [gpt], cache: {written}}}]")) == CacheRules()


@pytest.mark.parametrize("written", ["", ", cache: false"])
def test_a_route_has_none_unless_it_says_so(written: str, made: Callable[..., Config]) -> None:
    assert rules_of(made(routes=f"[{{model: a, targets: [gpt]{written}}}]")) is None


def test_every_setting_becomes_a_rule(made: Callable[..., Config]) -> None:
    assert rules_of(made(routes=f"[{{model: a, targets: [gpt], cache: {FULL}}}]")) == CacheRules(
        ttl_s=30 * 86_400.0,
        near=False,
        semantic=SemanticRules(0.02, True, ShadowRules(0.05, 7, 10**9), JudgeRules("gpt", 0.4, 1.0)),
        sharing=Sharing.ORG,
        temperature_max=0.2,
        answer_bytes_max=2 << 20,
        ignored=frozenset({"user", "metadata"}),
        pace=ReplayPace(8, 0.005),
        charges_hits=True,
        tags=("faq", "v2"),
        group="help",
    )


@pytest.mark.parametrize(
    ("written", "rules"),
    [
        ("{semantic: true}", SemanticRules()),
        ("{semantic: {shadow: true}}", SemanticRules(shadow=ShadowRules())),
        ("{semantic: {judge: gpt}}", SemanticRules(judge=JudgeRules("gpt"))),
        ("{semantic: false}", None),
    ],
)
def test_the_semantic_level_is_opened_by_a_word(
    written: str, rules: SemanticRules | None, made: Callable[..., Config]
) -> None:
    found = rules_of(made(routes=f"[{{model: a, targets: [gpt], cache: {written}}}]"))
    assert found is not None
    assert found.semantic == rules


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{semantik: {}}", "unknown key 'semantik' (did you mean 'semantic'?)"),
        ("{semantic: {max_false_hit: 1%}}", "unknown key 'max_false_hit' (did you mean 'max_false_hits'?)"),
        ("{semantic: {max_false_hits: 0%}}", "must be a share such as 5%, more than 0% and at most 100%"),
        ("{semantic: {max_false_hits: 60%}}", "max_false_hits: must be at most 50%"),
        ("{exact: {ttl: 5x}}", "must be a duration such as 250ms, 5s, 2m or 1h; days are written 30d"),
        ("{share: teem}", "must be one of 'team', 'key', 'user', 'org' or 'all' (did you mean 'team'?)"),
        ("{max_temperature: 3}", "must be at most 2.0"),
        (
            "{ignore: messages}",
            "'messages' says what is asked: without it one question would get the answer to another",
        ),
        ("{stream: {piece_chars: 0}}", "must be at least 1"),
        (
            "{semantic: {shadow: {max_cost: 1 USD/month}}}",
            "is an amount for one call and has no window; write 0.02 USD",
        ),
        ("{tags: [a b]}", "must be 1 to 100 letters, digits and . _ : @ / = - and begin with a letter or digit"),
    ],
)
def test_what_is_written_wrongly_is_told(written: str, problem: str, problems: Callable[..., list[str]]) -> None:
    (found,) = problems(routes=f"[{{model: a, targets: [gpt], cache: {written}}}]")
    assert found.startswith("3: routes[0].cache")
    assert found.endswith(problem)


def test_where_answers_are_kept_is_said_at_the_top(made: Callable[..., Config]) -> None:
    plain = made().cache
    assert (plain.embedder.deployment, plain.vectors.qdrant, plain.file) == (None, None, None)
    assert (plain.entries_max, plain.size_max_bytes) == (100_000, 256 << 20)
    stated = made(
        cache="{embedder: {deployment: gpt, window_tokens: 512}, max_entries: 10, max_size: 1MiB, file: c.db, "
        "vectors: {qdrant: 'http://10.0.0.1:6333'}, encryption_key: 0123456789-0123456789}",
        routes="[{model: a, targets: [gpt], cache: true}]",
    ).cache
    assert (stated.embedder.deployment, stated.embedder.window_tokens) == ("gpt", 512)
    assert stated.vectors.qdrant is not None
    assert stated.vectors.qdrant.reveal() == "http://10.0.0.1:6333"
    assert stated.file is not None
    assert stated.file.name == "c.db"
    assert "0123456789" not in repr(stated)


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("{embedder: mini}", "cache.embedder: must be minilm or {deployment: NAME, window_tokens: N}"),
        ("{embedder: {deployment: gpt}}", "cache.embedder: window_tokens is missing: a deployment and its window go"),
        ("{vectors: milvus}", "cache.vectors: must be auto, {qdrant: URL} or {pgvector: URL}"),
        ("{vectors: {qdrant: nowhere}}", "cache.vectors.qdrant: must look like http://HOST:6333"),
        ("{vectors: {pgvector: 'redis://x'}}", "cache.vectors.pgvector: must look like postgresql://"),
        (
            "{vectors: {qdrant: 'http://a:1', pgvector: 'postgresql://a/b'}}",
            "cache.vectors: names two databases; give one",
        ),
        ("{max_size: 1B}", "cache.max_size: must be at least 65536"),
        ("{encryption_key: short}", "cache.encryption_key: must have 20 to"),
    ],
)
def test_what_is_wrong_at_the_top_is_told(written: str, problem: str, problems: Callable[..., list[str]]) -> None:
    (found,) = problems(cache=written, routes="[{model: a, targets: [gpt], cache: true}]")
    assert problem in found
