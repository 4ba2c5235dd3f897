from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.prices.making import Named, ServiceWords, price_of, tariff_of, terms_of
from policies.tariffs import RareRates, Rates, Tariff, Tier

NAMED = Named("openai/m@2026-01-01", "table", "v 1", "2026-01-02")
WORDS = tuple(field.removesuffix("_nanousd") for field in (*Rates._fields[:4], *RareRates._fields))
RATES = st.dictionaries(st.sampled_from(WORDS), st.integers(0, 10**12), max_size=4)
ABOVE = st.lists(st.tuples(st.integers(1, 10**6), RATES), max_size=3, unique_by=lambda tier: tier[0])


def test_a_tier_has_the_rates_below_it_where_it_names_none() -> None:
    found = tariff_of({"input": 1, "output": 2, "search": 3}, [(200, {"output": 20}), (100, {"input": 10})])
    rare = RareRates(search_nanousd=3)
    assert found == Tariff(
        Rates(1, None, None, 2, rare),
        (Tier(100, Rates(10, None, None, 2, rare)), Tier(200, Rates(10, None, None, 20, rare))),
    )


def test_a_service_has_no_rates_of_tokens_but_its_own() -> None:
    terms = terms_of(
        NAMED, {"input": 1, "cached_input": 1, "request": 9}, (), {"flex": ServiceWords({"input": 5}, None)}
    )
    assert terms.services == (("flex", Tariff(Rates(5, rare=RareRates(request_nanousd=9)))),)


def test_a_price_says_all_about_itself() -> None:
    price = price_of([terms_of(NAMED, {"input": 1})], 0.0)
    assert price.id.startswith("openai/m@2026-01-01.")
    assert (price.source, price.version, price.as_of, price.later) == ("table", "v 1", "2026-01-02", None)
    assert price_of([terms_of(Named("override/a", "override"), {"input": 1})], 0.0).id.startswith("override/a@")


@given(RATES, ABOVE, RATES, ABOVE)
def test_ids_are_alike_exactly_where_rates_are(
    one: dict[str, int],
    above: list[tuple[int, dict[str, int]]],
    other: dict[str, int],
    more: list[tuple[int, dict[str, int]]],
) -> None:
    first, second = (price_of([terms_of(NAMED, *told)], 0.0) for told in ((one, above), (other, more)))
    assert (first.id == second.id) == (first == second)
    assert price_of([terms_of(NAMED, one, above[::-1])], 0.0) == first


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5, unique=True).map(sorted), st.integers(-5, 105))
def test_the_chain_goes_on_from_what_is_in_force(moments: list[int], now_s: int) -> None:
    terms = [terms_of(NAMED, {"input": at}, begins_s=float(at)) for at in moments]
    price, found = price_of(terms, float(now_s)), []
    while True:
        found.append(price.input_nanousd)
        if price.later is None:
            break
        begins_s, price = price.later
        assert begins_s == price.input_nanousd
    past = [at for at in moments if at <= now_s]
    assert found == [*(past[-1:] or moments[:1]), *(moments[len(past) or 1 :])]
