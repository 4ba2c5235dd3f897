from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from gateway.__main__ import main
from gateway.commands.cache_warm import CannotWarm, read_pairs
from gateway.state.answers.dump import Refused, read_entries, read_heading
from policies.vocabulary import Endpoint
from tests.gateway.explaining.cache_policy import CACHED

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def policy(tmp_path: Path) -> str:
    (tmp_path / "policy.yaml").write_text(CACHED)
    return str(tmp_path / "policy.yaml")


def warm(policy: str, file: Path, out: Path, *more: str, model: str = "words", key: str = "red") -> int:
    given = ("--config", policy, "--model", model, "--key", key, "--out", str(out))
    return main(["cache", "warm", str(file), *given, *more])


def test_questions_and_answers_become_entries_of_their_owner(policy: str, tmp_path: Path) -> None:
    file, out = tmp_path / "pairs.csv", tmp_path / "out"
    file.write_text('question,answer,more\n"How do canaries sing?","Well, in spring.",x\nWhy?,Because.,y\n')
    assert warm(policy, file, out) == 0
    with out.open("rb") as lines:
        assert read_heading(lines).pointsman_cache == 1
        found = list(read_entries(lines))
    assert not any(isinstance(one, Refused) for one in found)
    first, second = (one.entry for one in found if not isinstance(one, Refused))
    assert (first.owner, first.route, first.deployment, first.model) == ("team:default/red", "words", "a", "m")
    assert json.loads(first.body)["choices"][0]["message"]["content"] == "Well, in spring."
    assert first.endpoint == Endpoint.CHAT.value
    assert first.scope == second.scope
    assert first.exact != second.exact
    assert first.near
    assert first.expires_at_s - first.stored_at_s == 3600
    assert (first.question, first.embedder) == ("", "")


def test_another_system_prompt_or_owner_is_another_scope(policy: str, tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"question": "Why?", "answer": "Because."}\n')
    scopes = set()
    for number, (key, more) in enumerate((("red", ()), ("red2", ()), ("blue", ()), ("red", ("--system", "Be short.")))):
        out = tmp_path / f"out{number}"
        assert warm(policy, file, out, *more, key=key) == 0
        (entry,) = read_entries(io.BytesIO(out.read_bytes().split(b"\n", 1)[1]))
        assert not isinstance(entry, Refused)
        scopes.add(entry.entry.scope)
    assert len(scopes) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "line 1 is no JSON"),
        ('{"question": "a"}', "line 1 has no question and answer"),
        ('\n{"question": "a", "answer": " "}', "line 2 has no question and answer"),
        ("[]", "line 1 has no question and answer"),
    ],
)
def test_a_line_that_says_nothing_is_named(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "pairs"
    file.write_text(text)
    with pytest.raises(CannotWarm, match=why):
        list(read_pairs(file))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (("plain", "red"), "goes to a route without a cache"),
        (("words", "off"), "line 1 would be left alone: off"),
        (("nobody", "red"), "line 1 would be refused"),
        (("words", "none"), "there is no key none"),
    ],
)
def test_what_nobody_would_look_up_is_told(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: tuple[str, str], why: str
) -> None:
    file, out = tmp_path / "pairs", tmp_path / "out"
    file.write_text('{"question": "Why?", "answer": "Because."}\n')
    assert warm(policy, file, out, model=asked[0], key=asked[1]) == 2
    assert why in capsys.readouterr().err
    assert not out.exists()
