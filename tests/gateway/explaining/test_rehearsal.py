import asyncio
from pathlib import Path

import pytest

from gateway.explaining.decisions import decision_of
from gateway.explaining.rehearsal import ALL_ASIDE, NoSuchDeployment, NoSuchKey, Question, Rehearsal, body_of
from policies.vocabulary import Endpoint
from tests.gateway.explaining.a_policy import POLICY, TOOLS, asking, policy

ON_MARS = (("x-pointsman-require", "region=mars"),)
MORNING_S, EVENING_S = 1_795_334_400.0 - 8 * 3600, 1_795_334_400.0 + 8 * 3600  # around 2026-11-22T08:00Z


@pytest.fixture
def rehearsal(tmp_path: Path) -> Rehearsal:
    return Rehearsal(policy(tmp_path))


def order(rehearsal: Rehearsal, question: Question) -> list[str]:
    rehearsed = asyncio.run(rehearsal.ask(question))
    assert rehearsed.error is None
    return [c.deployment for c in decision_of(rehearsed.call).candidates if c.place is not None]


def test_the_same_stages_decide_as_in_a_running_gateway(rehearsal: Rehearsal) -> None:
    assert order(rehearsal, Question(body_of(asking(tools=TOOLS)), key="ci")) == ["big"]
    assert order(rehearsal, Question(body_of(asking()), key="euro")) == ["small"]
    found = asyncio.run(rehearsal.ask(Question(body_of(asking()), key="euro")))
    assert {(r.deployment.name, r.reason.value) for r in found.call.choice.rejected} == {  # type: ignore[union-attr]
        ("big", "region"),
        ("far", "region"),
    }
    assert [(limit.resource.value, holder) for limit, holder in found.bounds] == [("requests", "euro")]


def test_a_header_a_time_and_what_is_down_count(rehearsal: Rehearsal) -> None:
    body = body_of(asking())
    narrowed = Question(body, key="ci", headers=(("x-pointsman-require", "region=us"),))
    assert order(rehearsal, narrowed) == ["far"]
    assert "small" not in order(rehearsal, Question(body, key="ci", down=frozenset({"small"})))
    with pytest.raises(NoSuchDeployment, match=r"smal \(did you mean 'small'\?\)"):
        asyncio.run(rehearsal.ask(Question(body, key="ci", down=frozenset({"smal"}))))
    everything = frozenset({"small", "big", "far"})
    assert len(order(rehearsal, Question(body, key="ci", down=everything))) == 3
    last = asyncio.run(rehearsal.ask(Question(body, key="ci", down=everything)))
    assert decision_of(last.call).why == ALL_ASIDE
    fixed = Question(body_of(asking("fixed")), key="ci", at_s=MORNING_S)
    assert order(rehearsal, fixed) == ["small", "far"]
    refused = asyncio.run(rehearsal.ask(fixed._replace(at_s=EVENING_S)))
    assert refused.error is not None
    assert refused.error.code == "model_not_found"


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (Question(b"{", key="ci"), "invalid_json"),
        (Question(body_of(asking("nobody")), key="ci"), "model_not_found"),
        (Question(body_of(asking()), key="ci", headers=ON_MARS), "no_compliant_deployment"),
        (Question(body_of({"model": "clever", "messages": []}), key="ci"), None),
    ],
)  # fmt: skip
def test_a_refusal_is_told_as_the_caller_would_hear_it(
    rehearsal: Rehearsal, question: Question, code: str | None
) -> None:
    rehearsed = asyncio.run(rehearsal.ask(question))
    assert rehearsed.error is not None
    assert rehearsed.call.status >= 400
    if code is not None:
        assert rehearsed.error.code == code


def test_the_key_must_be_one_of_the_policy(rehearsal: Rehearsal, tmp_path: Path) -> None:
    for key in (None, "nobody"):
        with pytest.raises(NoSuchKey, match="ci, euro"):
            asyncio.run(rehearsal.ask(Question(body_of(asking()), key=key)))
    open_policy = Rehearsal(policy(tmp_path, POLICY.partition("keys:")[0]))
    assert order(open_policy, Question(body_of(asking(tools=TOOLS)))) == ["big"]


def test_the_same_questions_get_the_same_answers(tmp_path: Path) -> None:
    config = policy(tmp_path)
    first, second = Rehearsal(config), Rehearsal(config)
    for number in range(50):
        question = Question(body_of(asking(user=f"u{number}")), Endpoint.CHAT, "ci")
        assert order(first, question) == order(second, question)


@pytest.mark.parametrize(
    "strategy", ["cheapest", "fastest", "least_busy", "{strategy: spill, spill: {max_wait: 1s}}", "sticky"]
)
def test_strategies_that_go_by_live_numbers_decide_over_an_idle_fleet(strategy: str, tmp_path: Path) -> None:
    wanted = strategy[1:-1] if strategy.startswith("{") else f"strategy: {strategy}"
    wanted += ", by: key" if strategy == "sticky" else ""
    text = POLICY.replace(
        "- {model: fixed,", f"- {{model: live, {wanted}, targets: [small, big]}}\n  - {{model: fixed,"
    )
    live = Rehearsal(policy(tmp_path, text))
    assert sorted(order(live, Question(body_of(asking("live")), key="ci"))) == ["big", "small"]
