from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from gateway.prices.lines import (
    FORMAT,
    Above,
    Line,
    Service,
    Source,
    Table,
    TableFile,
    decode_lines,
    encode_lines,
    from_format_1,
    rate_words,
    render,
    usd,
)

LINE = Line(
    source="s",
    input=Decimal("0.1"),
    output=Decimal(3),
    above=(Above(tokens=5, input=Decimal("0.000000001")),),
    services={"flex": Service(input=Decimal(1), above=())},
)
LATER = Line(source="s", begins="2026-12-01", input=Decimal(2))


@pytest.mark.parametrize("lines", [(LINE,), (LINE, LATER)])
def test_lines_are_read_as_they_were_written(lines: tuple[Line, ...]) -> None:
    assert decode_lines(encode_lines(lines)) == lines


def test_a_line_is_written_as_an_operator_would() -> None:
    told = encode_lines((msgspec.structs.replace(LATER, lacks=("hours",)),)).decode()
    assert told == '{"input":2,"source":"s","from":"2026-12-01","lacks":["hours"]}'


@pytest.mark.parametrize(
    "text", ["", "5", '{"input":1}', '{"source":"s","inptu":1}', '{"source":"s","above":[{"input":1}]}']
)
def test_what_is_no_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_lines(text.encode())


@pytest.mark.parametrize(
    ("nanousd", "written"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (10**9, "1"),
        (2_500_000_000, "2.5"),
        (10**13, "10000"),
        (123_456_789, "0.123456789"),
    ],
)
def test_amounts_are_written_without_an_exponent_that_people_would_have_to_read(nanousd: int, written: str) -> None:
    assert f"{usd(nanousd):f}" == written


def test_a_file_has_a_model_on_each_line_in_order() -> None:
    source = Source("p", "1", "MIT", "2026-01-01")
    table = Table(
        "2026-01-02", {"s": source}, {"b": {"z": (LINE,), "a": (LATER,)}, "a": {"m": (LATER,)}}, {"b": {"n": "z"}}
    )
    content = render(table)
    file = msgspec.json.decode(content, type=TableFile)
    assert (file.format, file.date, list(file.providers), file.sources) == (
        FORMAT,
        "2026-01-02",
        ["a", "b"],
        {"s": source},
    )
    lines = content.decode().splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == ['"a"', '"m"', "}},", '"b"', '"a"', '"z"', "}}", "}}"]


def test_only_rates_that_are_there_are_told() -> None:
    assert rate_words(LATER) == {"input": Decimal(2)}
    assert rate_words(Line(source="s", input=Decimal(0))) == {"input": Decimal(0)}


def test_format_1_becomes_format_2() -> None:
    source = {"package": "p", "version": "1", "licence": "MIT", "as_of": "2026-01-01"}
    model = {"provider": "o", "model": "m", "source": "s", "input": 1_500_000_000, "aliases": ["n"]}
    document = {"format": 1, "date": "d", "unit": "u", "sources": {"s": source}, "models": [model]}
    sources, shelves = from_format_1(document)
    assert sources == {"s": Source(**source)}
    assert shelves["o"].aliases == {"n": "m"}
    assert decode_lines(shelves["o"].models["m"]) == (Line(source="s", input=Decimal("1.5")),)
