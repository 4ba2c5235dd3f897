from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

DEPLOYMENTS = (
    "{gpt: {provider: openai, model: m, price: {input: 1, output: 2}}, "
    "dear: {provider: openai, model: n, price: {input: 9, output: 9}}}"
)
OTHER = "{model: z, targets: [gpt, dear]}"
SHADOW = "shadow: true"


def found_for(route_cache: str, problems: Callable[..., list[str]], **sections: str) -> list[str]:
    return problems(
        deployments=DEPLOYMENTS, routes=f"[{{model: a, targets: [gpt], cache: {route_cache}}}, {OTHER}]", **sections
    )


@pytest.mark.parametrize("judge", ["gpd", "{deployment: gpd}"])
def test_a_judge_is_a_deployment_of_the_file(judge: str, problems: Callable[..., list[str]]) -> None:
    (found,) = found_for(f"{{semantic: {{{SHADOW}, judge: {judge}}}}}", problems)
    where = "judge.deployment" if "{" in judge else "judge"
    assert found == f"3: routes[0].cache.semantic.{where}: there is no deployment 'gpd' (did you mean 'gpt'?)"


def test_an_embedder_elsewhere_is_a_deployment_of_the_file(problems: Callable[..., list[str]]) -> None:
    (found,) = found_for("true", problems, cache="{embedder: {deployment: e5, window_tokens: 512}}")
    assert found == "4: cache.embedder.deployment: there is no deployment 'e5'"


@pytest.mark.parametrize("judge", ["dear", "{deployment: dear}"])
def test_what_a_cache_alone_asks_is_in_use(judge: str, problems: Callable[..., list[str]]) -> None:
    route = f"{{model: a, targets: [gpt], cache: {{semantic: {{{SHADOW}, judge: {judge}}}}}}}"
    found = problems(
        deployments=DEPLOYMENTS.replace("dear", "e5").removesuffix("}") + ", dear: {provider: openai, model: n}}",
        routes=f"[{route}]",
        cache="{embedder: {deployment: e5, window_tokens: 512}}",
    )
    assert found == []


@pytest.mark.parametrize(
    ("cache", "doubt"),
    [
        ("true", None),
        (f"{{semantic: {{{SHADOW}}}}}", None),
        ("{share: all}", "share: warning: every caller, of whichever org"),
        ("{max_temperature: 0.5}", None),
        ("{max_temperature: 0.7}", "max_temperature: warning: above 0.5"),
        ("{semantic: true}", "semantic.shadow: warning: only feedback will tell"),
        (f"{{semantic: {{{SHADOW}, judge: gpt}}}}", None),
        (f"{{semantic: {{{SHADOW}, judge: dear}}}}", "semantic.judge: warning: costs more than the deployments"),
    ],
)
def test_what_an_operator_may_not_have_meant_is_doubted(
    cache: str, doubt: str | None, problems: Callable[..., list[str]]
) -> None:
    found = found_for(cache, problems)
    assert len(found) == (doubt is not None)
    assert all(line.startswith(f"3: routes[0].cache.{doubt}") for line in found)


def test_a_semantic_level_without_its_parts_is_told_with_the_remedy(
    problems: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.config.cache_checks.is_installed", lambda _: False)
    for embedder in ("minilm", "{deployment: gpt, window_tokens: 512}"):
        (found,) = found_for(f"{{semantic: {{{SHADOW}}}}}", problems, cache=f"{{embedder: {embedder}}}")
        assert found.startswith("3: routes[0].cache.semantic: warning: ")
        assert "pip install '.[semantic]'" in found


@pytest.mark.parametrize(
    ("cache", "place", "extra"),
    [
        ("{encryption_key: a-key-of-twenty-characters}", "encryption_key", "encryption"),
        ('{vectors: {qdrant: "http://127.0.0.1:6333"}}', "vectors.qdrant", "qdrant"),
        ('{vectors: {pgvector: "postgresql://a@127.0.0.1/b"}}', "vectors.pgvector", "pgvector"),
    ],
)
def test_stores_without_their_parts_are_told_with_the_remedy(
    cache: str, place: str, extra: str, problems: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.config.cache_checks.is_installed", lambda _: False)
    (found,) = found_for("true", problems, cache=cache)
    assert found.startswith(f"4: cache.{place}: warning: ")
    assert f"pip install '.[{extra}]'" in found


def test_what_counts_for_nothing_is_told(problems: Callable[..., list[str]]) -> None:
    (found,) = problems(cache="{max_entries: 5}")
    assert found == "4: cache: warning: counts for nothing: no route has a cache"
    (found,) = found_for("true", problems, cache="{file: c.db}", state="{url: 'redis://127.0.0.1'}")
    assert found.startswith("4: cache.file: warning: counts for nothing: with a shared state.url")


def test_a_route_that_others_lead_to_has_no_cache_of_its_own(problems: Callable[..., list[str]]) -> None:
    routes = "[{model: a, targets: [{route: inner}]}, {name: inner, targets: [gpt], cache: true}]"
    (found,) = problems(routes=routes)
    assert found.startswith("3: routes[1].cache: counts for nothing: this route has no model")


@pytest.mark.parametrize(
    ("key", "more", "is_doubted"),
    [
        ("", {}, True),
        (", team: shop", {}, False),
        ("", {"secrets": "{pepper: 0123456789-0123456789}"}, False),
    ],
)
def test_a_file_is_of_no_use_to_keys_that_are_not_known_again(
    key: str,
    more: dict[str, str],
    is_doubted: bool,  # noqa: FBT001 - a parameter
    problems: Callable[..., list[str]],
) -> None:
    keys = f"[{{name: ci, secret: '${{env:KEY}}'{key}}}]"
    found = found_for("true", problems, cache="{file: c.db}", keys=keys, **more)
    assert any("find nothing that they kept" in line for line in found) is is_doubted


@pytest.fixture
def environ() -> dict[str, str]:
    return {"KEY": "a-key-of-twenty-characters"}
