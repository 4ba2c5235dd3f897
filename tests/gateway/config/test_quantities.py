from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.quantities import (
    BYTES,
    DURATION_MAX_S,
    PATH,
    SECONDS,
    Address,
    address,
    duration_s,
    nanousd,
    share,
    size_bytes,
)


@given(st.integers(1, 86_400_000), st.sampled_from(sorted(SECONDS)))
def test_a_whole_duration_is_its_number_of_units(number: int, unit: str) -> None:
    expected = number * SECONDS[unit]
    if expected > DURATION_MAX_S:
        with pytest.raises(ValueError, match="at most 24h"):
            duration_s(f"{number}{unit}")
    else:
        assert duration_s(f"{number}{unit}") == pytest.approx(expected, rel=1e-12)


@given(st.integers(1, 86_400_000))
def test_milliseconds_come_back_as_they_went(milliseconds: int) -> None:
    assert round(duration_s(f"{milliseconds / 1000:.3f}s") * 1000) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "5", 5, 5.0, None, True, "5 s", "-5s", "5sec", "1h30m", "\u0665s", "1e3s", "5s\n", "infs"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as"):
        duration_s(text)


@pytest.mark.parametrize("text", ["0s", "0.000s", "25h", "999999999h"])
def test_no_time_and_more_than_a_day_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 0s and at most 24h"):
        duration_s(text)


@given(st.integers(1, 10**9 - 1), st.sampled_from(sorted(BYTES)))
def test_a_size_is_its_number_of_units(number: int, unit: str) -> None:
    assert size_bytes(f"{number}{unit}") == number * BYTES[unit]


@pytest.mark.parametrize(("text", "expected"), [("1.5KiB", 1536), ("32MiB", 32 << 20), ("1MB", 10**6), ("0.9KB", 900)])
def test_sizes(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "32", 32, None, "32 MiB", "-1MB", "1TiB", "0B", "0.4B", "1mib"])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        size_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:80", Address("::1", 80)),
        ("Gateway.Example.com:65535", Address("gateway.example.com", 65535)),
    ],
)
def test_addresses_come_back_as_they_went(text: str, expected: Address) -> None:
    assert address(text) == expected
    assert str(expected) == text.lower()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "a:65536",
        "a:-1",
        "a: 1",
        "a:\uff18",
        "::1:80",
        "[::1:80",
        "[x]:80",
        "a b:1",
        8080,
        None,
    ],
)
def test_what_is_no_address_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be an address and a port"):
        address(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104 - only looked at
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
        ("2130706433", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert Address(host, 80).is_loopback is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("127.0.0.1", 80), ("127.0.0.1", 80), True),
        (("0.0.0.0", 80), ("127.0.0.1", 80), True),  # noqa: S104 - only compared
        (("10.0.0.1", 80), ("::", 80), True),
        (("10.0.0.1", 80), ("127.0.0.1", 80), False),
        (("127.0.0.1", 80), ("127.0.0.1", 81), False),
        (("127.0.0.1", 0), ("127.0.0.1", 0), False),
    ],
)
def test_listeners_overlap_when_both_cannot_be_bound(
    one: tuple[str, int], other: tuple[str, int], *, expected: bool
) -> None:
    assert Address(*one).overlaps(Address(*other)) is expected
    assert Address(*other).overlaps(Address(*one)) is expected


@given(st.integers(0, 10**15))
def test_dollars_become_nano_dollars_exactly(nano: int) -> None:
    assert nanousd(f"{nano // 10**9}.{nano % 10**9:09}") == nano


@pytest.mark.parametrize(("amount", "expected"), [(0, 0), (0.15, 150_000_000), (0.1 + 0.2, None), (2.5, 2_500_000_000)])
def test_floats_count_as_they_are_written(amount: float, expected: int | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match="nano-dollar"):
            nanousd(amount)
    else:
        assert nanousd(amount) == expected


@pytest.mark.parametrize("amount", [-1, 1e9, "NaN", "inf", "x", "", True, None, [1], "1e-10", "sNaN"])
def test_what_is_no_price_is_refused(amount: object) -> None:
    with pytest.raises(ValueError, match="must"):
        nanousd(amount)


@pytest.mark.parametrize(("text", "expected"), [("5%", 0.05), ("0.5 %", 0.005), ("100%", 1.0)])
def test_a_share_is_a_part_of_one(text: str, expected: float) -> None:
    assert share(text) == expected


@pytest.mark.parametrize("text", ["5", 5, 0.05, "0%", "100.1%", "-5%", "%", "5%%", "", None, "1e2%"])
def test_what_is_no_share_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a share such as 5%"):
        share(text)


@given(st.text(max_size=30))
def test_no_path_breaks_out_of_its_line(text: str) -> None:
    if PATH.fullmatch(text):
        assert text.startswith("/")
        assert not set(text) & set(" ?#\r\n\t")
        assert text.isascii()
