from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.state.ledger.schema import LARGEST, LedgerRow, storable
from tests.gateway.state.ledger_rows import PLAIN, unpriced

OPTIONAL = frozenset(name for name, kind in LedgerRow.__annotations__.items() if "None" in str(kind))
TEXTS = frozenset(name for name, kind in LedgerRow.__annotations__.items() if "str" in str(kind))

anything = st.none() | st.integers() | st.floats() | st.text() | st.binary(max_size=8) | st.booleans()


def test_a_good_row_is_left_as_it_is() -> None:
    assert storable(PLAIN) == PLAIN
    assert storable(unpriced(PLAIN)) == unpriced(PLAIN)


@given(st.lists(anything, min_size=len(LedgerRow._fields), max_size=len(LedgerRow._fields)))
def test_whatever_a_row_holds_is_made_fit(values: list[object]) -> None:
    for name, value in storable(LedgerRow._make(values))._asdict().items():
        if value is None:
            assert name in OPTIONAL
        elif name in TEXTS:
            assert value.encode().decode() == value
            assert "\0" not in value
        else:
            assert type(value) is int
            assert abs(value) <= LARGEST


def test_charges_that_cannot_be_read_charge_nobody() -> None:
    assert storable(PLAIN._replace(charges='[["a|x", 1, "much"]]')).charges is None
    assert storable(PLAIN._replace(charges=f'[["a|x", 1, {2**60}]]')).charges is None
