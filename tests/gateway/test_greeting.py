from typing import TYPE_CHECKING

from gateway.greeting import greet, greeting

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

URL = "http://127.0.0.1:8080/v1"
ADMIN_URL = "http://127.0.0.1:8081"


def test_a_greeting_says_where_and_how_to_call(tmp_path: "Path") -> None:
    file = tmp_path / "key"
    file.write_text("sk-pm-local_x\n")
    text = greeting(URL, ADMIN_URL, "local", file)
    assert f"curl {URL}/chat/completions" in text
    assert '-H "Authorization: Bearer sk-pm-local_x"' in text
    assert f'OpenAI(base_url="{URL}", api_key="sk-pm-local_x")' in text
    assert '"model": "local", "messages": [{"role": "user"' in text
    assert ADMIN_URL in text
    assert f"(kept in {file})" in text


def test_a_key_is_shown_only_where_its_file_was_asked_for(tmp_path: "Path") -> None:
    for file in (None, tmp_path / "missing"):
        text = greeting(URL, ADMIN_URL, "m", file)
        assert "Bearer $POINTSMAN_KEY" in text
        assert "sk-" not in text


def test_where_no_key_is_asked_for_none_is_looked_for(tmp_path: "Path") -> None:
    text = greeting(URL, ADMIN_URL, "m", tmp_path / "missing", is_open=True)
    assert "Bearer none" in text
    assert "any will do" in text


def test_a_model_is_written_as_it_is() -> None:
    assert '"model": "a/b{c}%s"' in greeting(URL, ADMIN_URL, "a/b{c}%s", None)


def test_the_greeting_goes_to_standard_output(capsys: "pytest.CaptureFixture[str]") -> None:
    greet("hello\n")
    assert capsys.readouterr() == ("hello\n", "")
