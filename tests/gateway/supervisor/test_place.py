from __future__ import annotations

from pathlib import Path

import pytest

from gateway.supervisor.place import Place, parse_place


def test_a_place_survives_the_command_line() -> None:
    place = Place(3, 8080, Path("/run/a folder, with a comma/3.sock"))
    assert parse_place(str(place)) == place


@pytest.mark.parametrize("text", ["", "1", "1,2", "a,2,/x", "1,b,/x"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_place(text)
