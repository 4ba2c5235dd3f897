from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import main
from gateway.commands.cache_explain import body_of, lines
from gateway.explaining.cache_pairs import PairTold
from tests.gateway.explaining.cache_policy import CACHED

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def policy(tmp_path: Path) -> str:
    (tmp_path / "policy.yaml").write_text(CACHED)
    return str(tmp_path / "policy.yaml")


def explain(policy: str, *more: str) -> int:
    return main(["cache", "explain", "--config", policy, "--model", "faq", "--key", "red", *more])


def questions(one: str, other: str) -> tuple[str, ...]:
    return ("--question", one, "--question", other)


def test_a_question_that_differs_in_manners_is_served_at_once(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(policy, *questions("Please, how do I pay my bill?", "how do I pay my bill")) == 0
    out = capsys.readouterr().out
    assert "plain form   the same\n" in out
    assert out.endswith("served, level near\n")


def test_a_question_that_is_alike_is_weighed_against_the_budget(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = questions("how do I settle my bill?", "how do I pay my bill?")
    assert explain(policy, *pair, "--similarity", "0.1") == 1
    out = capsys.readouterr().out
    assert "similarity   0.1000\n" in out
    assert "budget       1.00% of requests" in out
    assert out.endswith("not served: the risk is above the bar\n")
    assert explain(policy, *pair, "--similarity", "0.1", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["similarity"], told["budget"], told["same_scope"]) == (0.1, 0.01, True)
    assert told["risk"] > told["bar"]


def test_the_words_rule_a_hit_out_whatever_the_similarity(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(policy, *questions("May I bring 3 bags?", "May I bring 4 bags?"), "--similarity", "1") == 1
    assert capsys.readouterr().out.endswith("not served: the words rule it out: numbers\n")


def test_a_deployment_that_embeds_is_not_asked_and_no_extra_would_change_that(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(f"{CACHED}\ncache: {{embedder: {{deployment: a, window_tokens: 512}}}}\n")
    pair = questions("how do I settle my bill?", "how do I pay my bill?")
    assert explain(str(file), *pair) == 1
    out = capsys.readouterr().out
    assert "the embedder is the deployment a, which is not asked here: say how alike with --similarity" in out
    assert "install" not in out
    explain(str(file), *pair, "--similarity", "0.999")
    assert "similarity   0.9990\n" in capsys.readouterr().out


def test_another_teams_answer_is_nobodys_hit(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(policy, *questions("Same?", "Same?"), "--stored-key", "blue") == 1
    out = capsys.readouterr().out
    assert "owner        team:default/red, and the stored one's is team:default/blue\n" in out
    assert out.endswith("not served: the two callers do not share answers\n")


def test_two_files_are_compared_as_they_are(policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, heat in (("a", 0.8), ("b", 0.9)):
        body = {"model": "faq", "top_p": heat, "messages": [{"role": "user", "content": "Why?"}]}
        (tmp_path / name).write_text(json.dumps(body))
    assert explain(policy, str(tmp_path / "a"), str(tmp_path / "b")) == 1
    out = capsys.readouterr().out
    assert "differs      top_p\n" in out
    assert "scope        another\n" in out


@pytest.mark.parametrize(
    "more",
    [(), ("--question", "a"), ("nowhere", "nowhere"), ("--question", "a", "--question", "b", "--endpoint", "x")],
)
def test_what_is_asked_wrongly_is_told(policy: str, more: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        explain(policy, *more)
    assert ended.value.code == 2


def test_a_key_that_is_not_there_is_told(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(policy, *questions("a", "b"), "--stored-key", "nobody") == 2
    assert "there is no key nobody" in capsys.readouterr().err


def test_a_question_needs_a_model() -> None:
    with pytest.raises(ValueError, match="--model"):
        body_of(None, "a", None)


def test_what_is_not_known_is_not_shown() -> None:
    assert list(lines(PairTold(why="the request that asks goes to a route without a cache"))) == [
        "not served: the request that asks goes to a route without a cache"
    ]
