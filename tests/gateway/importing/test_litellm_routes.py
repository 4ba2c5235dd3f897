from typing import Any

from gateway.importing.litellm_models import Model, Tables
from gateway.importing.litellm_routes import Wishes, routes_of
from gateway.importing.sections import Notes

NO_WISHES = Wishes("weighted", None, None, None, {}, {}, {}, [], {})


def routes(models: list[Model], wishes: Wishes = NO_WISHES, **by_id: str) -> tuple[list[dict[str, Any]], list[str]]:
    notes = Notes()
    made = routes_of(models, wishes, Tables(by_id=by_id), notes)
    return made, [note.where for note in notes.all()]


def test_a_group_is_a_route_with_its_deployments_by_weight() -> None:
    made, _ = routes([Model("g", "a", weight=3), Model("h", "c", weight=9), Model("g", "b")])
    assert made == [
        {"model": "g", "strategy": "weighted", "targets": [{"deployment": "a", "weight": 3}, "b"]},
        {"model": "h", "targets": ["c"]},
    ]


def test_other_strategies_have_no_weights() -> None:
    made, _ = routes([Model("g", "a", weight=3), Model("g", "b")], NO_WISHES._replace(strategy="fastest"))
    assert made == [{"model": "g", "strategy": "fastest", "targets": ["a", "b"]}]


def test_a_later_order_is_a_fallback() -> None:
    made, _ = routes([Model("g", "b", order=2), Model("g", "a", order=1), Model("g", "c", order=3)])
    assert made == [{"model": "g", "targets": ["a"], "fallbacks": ["b", "c"]}]


def test_fallbacks_are_deployments_and_go_on_from_there_without_a_circle() -> None:
    wishes = NO_WISHES._replace(
        fallbacks={"g": ["h", "id-9", "nobody"], "h": ["g", "i"]},
        default_fallbacks=["i"],
        context_fallbacks={"g": ["i"]},
    )
    made, notes = routes([Model("g", "a"), Model("h", "b"), Model("i", "c")], wishes, **{"id-9": "c"})
    assert made[0] == {"model": "g", "targets": ["a"], "fallbacks": ["b", "c"], "context_fallbacks": ["c"]}
    assert made[1]["fallbacks"] == ["a", "c"]
    assert "fallbacks" not in made[2]
    assert notes == ["fallbacks.g"]


def test_aliases_are_further_names() -> None:
    made, notes = routes([Model("g", "a")], NO_WISHES._replace(aliases={"gpt-4": "g", "x": "missing"}))
    assert made == [{"model": ["g", "gpt-4"], "targets": ["a"]}]
    assert notes == ["router_settings.model_group_alias.x"]


def test_the_most_patient_limit_of_a_group_is_kept_and_told() -> None:
    models = [Model("g", "a", timeout_s=5, first_token_s=0.5), Model("g", "b", timeout_s=30)]
    made, notes = routes(models, NO_WISHES._replace(total_s=600, attempts=3))
    assert made[0]["timeouts"] == {"first_token": "500ms", "total": "30s"}
    assert made[0]["retry"] == {"attempts": 3}
    assert notes == ["model_list.g", "timeout"]
