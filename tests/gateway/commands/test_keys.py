from __future__ import annotations

import pytest

from gateway.commands import keys
from gateway.keys import virtual_keys


def test_the_key_stands_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.generate("live") == 0
    out, err = capsys.readouterr()
    assert out.startswith("sk-pm-live_")
    assert out.endswith("\n")
    assert virtual_keys.check(out[:-1]) is None
    assert out.strip() not in err


@pytest.mark.parametrize("env", ["", "LIVE", "a b", "x" * 17, "a/b"])
def test_an_environment_that_no_key_can_hold_is_refused(env: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.generate(env) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "pointsman keys generate: an environment's name is 1 to 16 lower-case letters and digits\n"
