from pathlib import Path

import pytest
import yaml

from gateway.commands.import_policy import SIZE_MAX_BYTES, litellm

CONFIG = "model_list: [{model_name: a, litellm_params: {model: gpt-4o, api_key: sk-1, temperature: 0.5}}]"


def test_the_policy_goes_out_and_what_to_look_at_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(CONFIG)
    assert litellm(str(source), None) == 0
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["routes"] == [{"model": "a", "targets": ["a"]}]
    assert "model_list[0].litellm_params.temperature: " in err
    assert err.endswith("2 things to look at; then: pointsman check FILE\n")
    assert "sk-1" not in out + err
    assert litellm(str(source), tmp_path / "policy.yaml") == 0
    assert (tmp_path / "policy.yaml").read_text() == out
    assert capsys.readouterr().err.endswith(f"; then: pointsman check {tmp_path / 'policy.yaml'}\n")


@pytest.mark.parametrize(
    "text",
    ["", "[", "a: b", "a: {api_key: sk-secret: bad}", "\x00", "&a [*a]", "model_list: 7", "x" * (SIZE_MAX_BYTES + 1)],
)
def test_what_cannot_be_imported_is_refused_in_a_line(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(text)
    assert litellm(str(source), None) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"{source}: cannot be imported: ")
    assert err.count("\n") == 1
    assert "sk-secret" not in err


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert litellm(str(tmp_path / "none.yaml"), None) == 2
    assert "No such file" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(CONFIG)
    assert litellm(str(source), tmp_path / "none" / "policy.yaml") == 2
    assert capsys.readouterr().err == f"{tmp_path / 'none' / 'policy.yaml'}: No such file or directory\n"
