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
            Candidate("small", "b", 1, score=0.25),
            Candidate("big", place=2, part="fallback"),
            Candidate("far", refused="region", detail="not in eu"),
        ],
    )
    assert shown(decision) == (
        "chat/completions for clever, by key ci\n"
        "route clever, cheapest (the price is known)\n"
        "needs images, region eu\n"
        "\n"
        "   DEPLOYMENT  AS        SCORE  WHY NOT\n"
        "1  small@b     target    0.25\n"
        "2  big         fallback\n"
        "-  far                          region: not in eu\n"
    )


def test_a_refusal_has_no_table() -> None:
    decision = Decision("req_1", 0, "embeddings", "x", status=404, error="model_not_found")
    assert shown(decision) == "embeddings for x, by anyone\nrefused: 404 model_not_found\n"
