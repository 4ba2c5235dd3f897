"""A table brought up to date: history stays, and what is hostile is refused whole."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.prices.lines import Line, Source, Table, render
from gateway.prices.table import PriceTable, day_s
from gateway.prices.updating import BYTES_MAX, continued, read, updated

if TYPE_CHECKING:
    from collections.abc import Iterable

TODAY = "2026-11-22"
SOURCES = {"s": Source("p", "1", "MIT", "2026-01-01")}


def line(input_usd: int, begins: str | None = None, source: str = "s") -> Line:
    return Line(source=source, begins=begins, input=Decimal(input_usd), output=Decimal(1))


def told(lines: Iterable[Line]) -> list[tuple[int, str | None]]:
    return [(int(line.input or 0), line.begins) for line in lines]


OLD = (line(1), line(2, "2026-03-13"))
ANNOUNCED = (*OLD, line(9, "2027-01-01"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ((), (line(3),), [(3, None)]),
        (OLD, (line(3),), [(1, None), (2, "2026-03-13"), (3, TODAY)]),
        (OLD, (line(2),), [(1, None), (2, "2026-03-13")]),
        (ANNOUNCED, (line(2),), [(1, None), (2, "2026-03-13"), (9, "2027-01-01")]),
        (ANNOUNCED, (line(3),), [(1, None), (2, "2026-03-13"), (3, TODAY)]),
        (ANNOUNCED, (line(2), line(8, "2027-02-01")), [(1, None), (2, "2026-03-13"), (8, "2027-02-01")]),
        (
            OLD,
            (line(5), line(3, "2026-11-01"), line(4, "2026-12-01")),
            [(1, None), (2, "2026-03-13"), (3, TODAY), (4, "2026-12-01")],
        ),
        (OLD, (line(4, "2026-12-01"),), [(1, None), (2, "2026-03-13"), (4, "2026-12-01")]),
        ((*OLD, line(3, TODAY)), (line(4),), [(1, None), (2, "2026-03-13"), (4, TODAY)]),
        ((*OLD, line(3, TODAY)), (line(2),), [(1, None), (2, "2026-03-13")]),
        ((line(3, TODAY),), (line(4),), [(4, None)]),
        ((line(3, "2026-12-01"),), (line(4),), [(4, None)]),
    ],
)
def test_what_was_stays_and_what_changed_begins_today(
    old: tuple[Line, ...], new: tuple[Line, ...], expected: list[tuple[int, str | None]]
) -> None:
    assert told(continued(old, new, TODAY)) == expected


DAYS = st.lists(
    st.sampled_from(("2026-01-01", "2026-11-21", TODAY, "2026-11-23", "2027-01-01")), unique=True, max_size=4
).map(sorted)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Line, ...]:
    begins: list[str | None] = [None, *draw(DAYS)]
    return tuple(line(draw(st.integers(1, 4)), day) for day in begins[draw(st.integers(0, len(begins) - 1)) :])


@given(histories(), histories())
def test_a_line_is_in_order_and_says_of_today_and_later_what_the_new_one_does(
    old: tuple[Line, ...], new: tuple[Line, ...]
) -> None:
    found = continued(old, new, TODAY)
    begins = [line.begins or "" for line in found]
    assert begins == sorted(set(begins))
    now = [line for line in new if (line.begins or "") <= TODAY]
    held = [line for line in found if (line.begins or "") <= TODAY]
    if now:
        assert held[-1].input == now[-1].input
    before = [line for line in old if (line.begins or "") < TODAY]
    assert told(held)[: len(before)] == told(before)
    assert continued(found, new, TODAY) == found, "a second time changes nothing"


def table(lines: dict[str, tuple[Line, ...]], sources: dict[str, Source] = SOURCES) -> Table:
    return Table("2026-10-01", sources, {"openai": lines}, {"openai": {"n": "m"}})


def litellm(**models: Any) -> bytes:
    entries = {
        name: {
            "litellm_provider": "openai",
            "mode": "chat",
            "output_cost_per_token": 1e-6,
            "input_cost_per_token": rate,
        }
        for name, rate in models.items()
    }
    return json.dumps(entries).encode()


def test_a_models_file_of_litellms_is_told_by_its_shape_and_what_it_does_not_name_stays() -> None:
    found = read(litellm(m=3e-6), TODAY)
    assert found.form == "JSON of litellm"
    new = updated(table({"m": OLD, "other": OLD}), found, TODAY)
    assert told(new.models["openai"]["m"]) == [(1, None), (2, "2026-03-13"), (3, TODAY)]
    assert new.models["openai"]["other"] == OLD
    assert (new.date, new.sources["litellm"].version, new.aliases) == (TODAY, TODAY, {"openai": {"n": "m"}})
    price = PriceTable.of_bytes(render(new), day_s(TODAY)).price_of("openai", None, "n")
    assert price is not None
    assert (price.input_nanousd, price.version) == (3 * 10**9, f"litellm {TODAY}")


def test_a_file_of_genai_prices_keeps_what_it_announces() -> None:
    prices = [
        {"prices": {"input_mtok": 2, "output_mtok": 1}},
        {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 7, "output_mtok": 1}},
    ]
    document = [{"id": "openai", "models": [{"id": "m", "match": {"equals": "alias"}, "prices": prices}]}]
    found = read(json.dumps(document).encode(), TODAY)
    assert found.form == "JSON of genai-prices"
    new = updated(table({"m": OLD}), found, TODAY)
    assert told(new.models["openai"]["m"]) == [(1, None), (2, "2026-03-13"), (7, "2027-01-01")]
    assert new.aliases["openai"] == {"n": "m", "alias": "m"}


def test_another_version_of_a_source_is_another_source() -> None:
    newer = table({"m": (line(5),)}, {"s": Source("p", "2", "MIT", "2026-11-22")})
    new = updated(table({"m": OLD}), read(render(newer), TODAY), TODAY)
    assert [line.source for line in new.models["openai"]["m"]] == ["s", "s", "s-2"]
    assert {name: source.version for name, source in new.sources.items()} == {"s": "1", "s-2": "2"}
    same = updated(new, read(render(newer), TODAY), TODAY)
    assert same == new


def hostile(**line: Any) -> bytes:
    head = {"format": 2, "date": TODAY, "unit": "u", "sources": {}}
    return json.dumps({**head, "providers": {"p": {"models": {"m": {"source": "s", **line}}}}}).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b" " * (BYTES_MAX + 1), "is larger than 32 MiB"),
        (b"5", "is neither a Pointsman price table nor"),
        (b"{}", "is neither a Pointsman price table nor"),
        (b"[]", "prices 0 models"),
        (b'{"format":7,"date":"d"}', "format 7"),
        (b'[{"id":"p","models":[5]}]', "is not what it looks like"),
        (b'[{"id":"p","models":[{"id":"m","prices":[5]}]}]', "is not what it looks like"),
        (litellm(m=-1), "negative"),
        (litellm(m=1), "absurd"),
        (litellm(**{"a\u202eb": 1e-6}), "is not a name"),
        (hostile(input=-1), "p/m: input is negative"),
        (hostile(input=20_000), "p/m: input is absurd"),
        (hostile(input=1, above=[{"tokens": 5, "output": 20_000}]), "p/m: output is absurd"),
        (
            hostile(input=1, above=[{"tokens": 5}, {"tokens": 5}]),
            "p/m: its tiers are too many, below no tokens, or twice",
        ),
        (hostile(input=1, above=[{"tokens": -5}]), "p/m: its tiers are too many"),
        (hostile(input=1, services={"x\n": {}}), "p/m: a service is not a name"),
        (hostile(input=1, services={"flex": {"input": -1}}), "p/m: input is negative"),
        (hostile(**{"from": "tomorrow"}), "a day that is none"),
        (hostile(input=1).replace(TODAY.encode(), b"today"), "a day that is none"),
    ],
)
def test_what_is_hostile_is_refused_whole(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(content, TODAY)


@pytest.mark.parametrize("lines", [[], [line(1, TODAY), line(2)], [line(1), line(2)]])
def test_lines_out_of_order_are_refused(lines: list[Line]) -> None:
    content = render(table({"m": tuple(lines)}))
    with pytest.raises(ValueError, match=r"lines|order"):
        read(content, TODAY)


LEAVES = st.none() | st.integers() | st.text(max_size=5)
KEYS = st.sampled_from(("format", "models", "id", "prices", "litellm_provider", "mode", "x"))
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(st.binary(max_size=200) | ANYTHING.map(msgspec.json.encode))
def test_anything_is_read_or_refused_and_nothing_else(content: bytes) -> None:
    try:
        found = read(content, TODAY)
    except ValueError:
        return
    assert found.found.models
