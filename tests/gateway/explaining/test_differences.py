import asyncio
from pathlib import Path

from gateway.explaining.differences import SHAPES, Change, changes
from gateway.explaining.rehearsal import Rehearsal
from tests.gateway.explaining.a_policy import POLICY, policy


def between(folder: Path, *replaced: tuple[str, str]) -> list[Change]:
    text = POLICY
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return asyncio.run(changes(Rehearsal(policy(folder)), Rehearsal(policy(folder, text, "other.yaml"))))


def test_nothing_changes_for_anybody(tmp_path: Path) -> None:
    assert between(tmp_path) == []


def test_a_canary_that_grows_is_told_for_whom_it_grows(tmp_path: Path) -> None:
    found = between(tmp_path, ("weight: 5}", "weight: 95}"))
    (change,) = found
    assert change.what == "went to big (5%), small (95%), far, goes to big (50%), small (50%), far"
    assert (change.keys, change.models) == (("ci",), ("clever",))
    assert set(change.shapes) == set(SHAPES) - {"tools", "images"}


CANARY = """
routes:
  - model: clever
    strategy: weighted
    targets: [{deployment: small, weight: 95}, {route: canary, weight: 5}]
  - {name: canary, targets: [big, far]}
"""


def test_a_canary_that_is_a_route_has_its_share_where_that_begins(tmp_path: Path) -> None:
    begin, rest = POLICY.partition("routes:")[0], POLICY[POLICY.index("keys:") :]
    text = begin + CANARY.lstrip() + rest
    old, new = policy(tmp_path, text), policy(tmp_path, text.replace("weight: 5}", "weight: 95}"), "other.yaml")
    told = [change.what for change in asyncio.run(changes(Rehearsal(old), Rehearsal(new)))]
    assert "went to big (5%), far (0%), small (95%), goes to big (50%), far (0%), small (50%)" in told
    turned = policy(
        tmp_path, text.replace("targets: [big, far]", "strategy: least_busy, targets: [big, far]"), "o.yaml"
    )
    told = [change.what for change in asyncio.run(changes(Rehearsal(old), Rehearsal(turned)))]
    assert "went to big (5%), far (0%), small (95%), goes to big (2.5%), far (2.5%), small (95%)" in told


def test_limits_refusals_and_keys_are_told(tmp_path: Path) -> None:
    found = between(
        tmp_path,
        ("60/min", "6/min"),
        ("require: {region: eu}", "require: {region: mars}"),
        ("name: ci,", "name: cd,"),
    )
    told = {change.what: change.keys for change in found}
    assert ("euro",) in [keys for what, keys in told.items() if what.endswith("is refused (no_compliant_deployment)")]
    assert ("ci",) in [keys for what, keys in told.items() if what.endswith("is refused (invalid_api_key)")]
    assert ("cd",) in [keys for what, keys in told.items() if what.startswith("was refused (invalid_api_key)")]


def test_a_limit_of_another_amount_is_told(tmp_path: Path) -> None:
    found = between(tmp_path, ("60/min", "6/min"))
    told = {change.what: change.keys for change in found}
    assert told["no longer held to 60 requests per 60 s for key ci"] == ("ci",)
    assert told["now held to 6 requests per 60 s for key euro"] == ("euro",)
