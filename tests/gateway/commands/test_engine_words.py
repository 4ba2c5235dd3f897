from __future__ import annotations

import pytest

from gateway.__main__ import main, parser
from gateway.commands import engine, engine_doctor


def test_the_engine_needs_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["engine"])
    assert stopped.value.code == 2
    assert "--model" in capsys.readouterr().err


def test_each_word_runs_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "run", lambda options: 10 + options.slots)
    monkeypatch.setattr(engine_doctor, "run", lambda models, *, as_json: 100 * len(models) + as_json)
    assert main(["engine", "--model", "m.gguf", "--slots", "5"]) == 15
    assert main(["engine", "doctor", "a.gguf", "b.gguf", "--json"]) == 201
    assert main(["engine", "doctor"]) == 0


def test_short_words_mean_the_settings() -> None:
    options = parser().parse_args(
        ["engine", "--model", "m", "--context", "4096", "--batch", "1024", "--device", "CUDA0"]
    )
    assert (options.context_tokens, options.batch_tokens, options.devices) == (4096, 1024, ["CUDA0"])


@pytest.mark.parametrize(
    "words", [["--key-file", "a", "--key-env", "B"], ["--slots", "many"], ["--flash-attention", "maybe"]]
)
def test_wrong_words_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parser().parse_args(["engine", "--model", "m", *words])
    assert stopped.value.code == 2
