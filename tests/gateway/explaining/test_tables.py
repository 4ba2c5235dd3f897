import pytest

from gateway.explaining.cache_told import CacheTold
from gateway.explaining.decisions import Asked, Candidate, Decision
from gateway.explaining.tables import shown


def test_a_decision_is_a_table_for_people() -> None:
    decision = Decision(
        "req_1",
        0,
        "chat/completions",
        "clever",
        key="ci",
        route="clever",
        strategy="cheapest",
        why="the price is known",
        needs=Asked(("images",), regions=("eu",)),
        candidates=[
            Candidate("small", "b", 1, score=62_549_000.0),
            Candidate("big", place=2, part="fallback"),
            Candidate("far", refused="region", detail="not in eu"),
        ],
    )
    assert shown(decision) == (
        "chat/completions for clever, by key ci\n"
        "route clever, cheapest (the price is known)\n"
        "needs images, region eu\n"
        "\n"
        "   DEPLOYMENT  AS        SCORE       WHY NOT\n"
        "1  small@b     target    0.0625 USD\n"
        "2  big         fallback\n"
        "-  far                               region: not in eu\n"
    )


@pytest.mark.parametrize(("strategy", "score"), [("spill", "0.25 s"), ("fastest", "0.25 s"), ("sticky", "0.25")])
def test_scores_have_the_unit_of_their_strategy(strategy: str, score: str) -> None:
    decision = Decision("req_1", 0, "chat/completions", "a", route="a", strategy=strategy)
    decision.candidates = [Candidate("small", place=1, score=0.25)]
    assert shown(decision).splitlines()[-1] == f"1  small       target  {score}"


def test_a_route_that_nobody_was_chosen_on_has_no_empty_table() -> None:
    decision = Decision("req_1", 0, "chat/completions", "a", route="a", strategy="ordered", status=400, error="x")
    assert shown(decision) == "chat/completions for a, by anyone\nroute a, ordered\nrefused: 400 x\n"


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (
            CacheTold(
                "hit",
                "semantic",
                "semantic",
                age_s=31.2,
                risk=0.0042,
                bar=0.01,
                similarity=0.97,
                saved_nano_usd=350_000,
                saved_tokens=110,
            ),
            "hit, semantic, 31 s old, risk 0.0042 of at most 0.01, similarity 0.97, saved 0.00035 USD and 110 tokens",
        ),
        (CacheTold("miss", similarity=0.99, veto="numbers"), "miss, similarity 0.99, ruled out by numbers"),
        (CacheTold("miss", risk=0.4), "miss, risk 0.4"),
        (CacheTold("bypass", reason="temperature"), "bypass, temperature"),
        (CacheTold("hit", level="exact", age_s=0.0, saved_tokens=9), "hit, exact, 0 s old, saved 9 tokens"),
    ],
)
def test_what_the_cache_did_is_one_line(told: CacheTold, line: str) -> None:
    decision = Decision("req_1", 0, "chat/completions", "a", route="a", strategy="ordered", cache=told)
    assert shown(decision) == f"chat/completions for a, by anyone\nroute a, ordered\ncache {line}\n"


def test_a_refusal_has_no_table() -> None:
    decision = Decision("req_1", 0, "embeddings", "x", status=404, error="model_not_found")
    assert shown(decision) == "embeddings for x, by anyone\nrefused: 404 model_not_found\n"
