from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import pytest

from gateway.__main__ import main
from gateway.admin.cache_shapes import CacheToDrop
from gateway.commands import administer, cache_commands
from gateway.commands.admin_client import CommandError, Reply

if TYPE_CHECKING:
    from pathlib import Path

ROUTE = {
    "route": "faq", "hits": {"exact": 3, "semantic": 1}, "joined": 0, "misses": 9, "bypassed": 2,
    "saved_nanousd": 350_000, "saved_tokens": 42, "false_hits_max": 0.01, "risk_bar": 0.2, "expected": 0.006,
    "observed_max": 0.012, "labels_good": 4, "labels_bad": 2, "over_budget": True,
}  # fmt: skip
EXACT = ROUTE | {"route": "code", "false_hits_max": None, "risk_bar": None, "expected": None, "observed_max": None}
EXACT |= {"over_budget": False}
STORE = {"kind": "memory", "entries": 7, "size_bytes": 9_000, "vectors": None, "evicted": 0, "expired": 0, "unsent": 0}


class Listener:
    """An admin API that keeps lines."""

    def __init__(self) -> None:
        self.store: dict[str, Any] | None = dict(STORE)
        self.asked: list[tuple[str, str, Any]] = []
        self.lines = [f'{{"id":"ce_{number}"}}' for number in range(7)]
        self.taken: list[str] = []
        self.processes: Any = CommandError("there is no such path")
        self.dropped = 3

    def ask(self, method: str, path: str, body: Any = None, etag: str | None = None) -> Reply:
        assert etag is None
        self.asked.append((method, path, body))
        return Reply(getattr(self, path.partition("?")[0].rpartition("/")[2])(path, body), None)

    def cache(self, _path: str, _body: Any) -> Any:
        return {"store": self.store, "routes": [ROUTE, EXACT]}

    def invalidate(self, _path: str, _body: Any) -> Any:
        return {"dropped": self.dropped}

    def workers(self, _path: str, _body: Any) -> Any:
        if isinstance(self.processes, CommandError):
            raise self.processes
        return self.processes

    def export(self, path: str, _body: Any) -> Any:
        part, parts = (int(pair.partition("=")[2]) for pair in path.partition("?")[2].split("&"))
        return {"heading": '{"pointsman_cache":1}', "lines": self.lines[part::parts]}

    def import_(self, _path: str, body: Any) -> Any:
        refused = [{"line": n, "why": "bad"} for n, line in enumerate(body["lines"], 1) if "bad" in line]
        self.taken += [line for line in body["lines"] if "bad" not in line]
        return {"kept": len(body["lines"]) - len(refused), "refused": refused}

    def curve(self, _path: str, body: Any) -> Any:
        told = {"embedder": "minilm", "at_one": -5.0, "per_distance": 17.0, "per_next": 2.0, "per_sign": {"slot": 0.5}}
        return told | (body or {})


setattr(Listener, "import", Listener.import_)


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    made = Listener()
    monkeypatch.setattr(administer, "client_of", lambda *_: made)
    return made


def test_stats_are_a_table_with_who_is_over_budget(listener: Listener, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "stats"]) == 0
    out, err = capsys.readouterr()
    heads, faq, code = out.splitlines()
    assert heads.split()[:6] == ["ROUTE", "EXACT", "NEAR", "SEMANTIC", "MISSES", "BYPASSED"]
    told = ["faq", "3", "0", "1", "9", "2", "0.000350000", "1.00%", "20.00%", "0.60%", "1.20%", "OVER"]
    assert faq.split() == told
    assert code.split()[-4:] == ["-"] * 4
    assert err == "memory: 7 entries, 9000 bytes, 0 evicted, 0 expired\n"
    listener.store = None
    assert main(["cache", "stats", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["store"] is None


def test_stats_say_what_nobody_has_counted_and_whose_they_are(
    listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    listener.store = STORE | {"kind": "redis", "entries": None, "size_bytes": None, "vectors": 1, "evicted": 1}
    for listener.processes, told in (([{"slot": 0}] * 3, ["one of 3 workers"]), ([{"slot": 0}], []), ({}, [])):
        assert main(["cache", "stats"]) == 0
        stock, *rest = capsys.readouterr().err.splitlines()
        assert stock == "redis: 1 vector, 1 evicted, 0 expired; its entries are being counted"
        assert [line.partition(" tells")[0] for line in rest] == told


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--id", "ce_1"], {"id": "ce_1"}),
        (["--tag", "t", "--route", "faq"], {"tag": "t", "route": "faq"}),
        (["--owner", "team:a/b"], {"owner": "team:a/b"}),
        (["--org", "a", "--before", "2026-11-01"], {"org": "a", "stored_before_ms": 1_793_491_200_000}),
        (["--all"], {"all": True}),
    ],
)
def test_what_is_named_is_dropped(
    listener: Listener, capsys: pytest.CaptureFixture[str], words: list[str], body: dict[str, object]
) -> None:
    assert main(["cache", "drop", *words]) == 0
    assert listener.asked == [("POST", "/admin/v1/cache/invalidate", body)]
    assert capsys.readouterr().err == "3 answers are gone\n"
    listener.dropped = 1
    assert main(["cache", "drop", *words]) == 0
    assert capsys.readouterr().err == "1 answer is gone\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "say which answers"),
        (["--before", "soon"], "--before wants a day like 2026-11-01, or a span like 7d, 12h or 90s, not 'soon'"),
        (["--id", "nonsense"], "--id wants an answer's id as x-pointsman-cache names it, such as ce_"),
        (["--owner", "shop"], "--owner wants an owner such as team:ORG/TEAM"),
        (["--tag", "a b"], "--tag wants a tag: letters, digits"),
        (["--tag", ""], "--tag wants a tag"),
        (["--all", "--tag", "x"], "say one or the other"),
        (["--all", "--before", "10s"], "say one or the other"),
    ],
)
def test_nothing_is_dropped_by_mistake(
    listener: Listener, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["cache", "drop", *words]) == 2
    assert listener.asked == []
    err = capsys.readouterr().err
    assert told in err
    assert "^" not in err


def test_what_names_answers_here_is_what_the_api_takes() -> None:
    fields = get_type_hints(CacheToDrop, include_extras=True)
    for name, (shape, _) in cache_commands.NAMED.items():
        pattern = msgspec.json.schema(get_args(fields[name])[0])["pattern"]
        assert pattern.removeprefix("^").removesuffix("$").strip("()") == shape.strip("()")


def test_an_export_is_whole_and_nobody_elses_to_read(
    listener: Listener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listener.store is not None
    listener.store["size_bytes"] = 9 << 20
    out = tmp_path / "answers.jsonl"
    assert main(["cache", "export", "--out", str(out)]) == 0
    heading, *lines = out.read_text().splitlines()
    assert heading == '{"pointsman_cache":1}'
    assert sorted(lines) == sorted(listener.lines)
    assert [path for _, path, _ in listener.asked if "export" in path] == [
        f"/admin/v1/cache/export?part={part}&parts=3" for part in range(3)
    ]
    assert out.stat().st_mode & 0o777 == 0o600
    assert capsys.readouterr().err.startswith("7 answers in ")


def test_an_export_that_breaks_off_leaves_nothing(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: str, _body: object) -> object:
        raise CommandError("gone")

    monkeypatch.setattr(listener, "export", broken)
    assert main(["cache", "export", "--out", str(tmp_path / "a")]) == 1
    assert main(["cache", "export", "--out", str(tmp_path / "no" / "a")]) == 1
    listener.store = None
    assert main(["cache", "export", "--out", str(tmp_path / "a")]) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_import_goes_in_batches_and_tells_of_each_line_by_its_number(
    listener: Listener, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_commands, "LINES_BYTES_MAX", 20)
    file = tmp_path / "a"
    file.write_text('{"pointsman_cache":1}\none\ntwo bad\n\nthree three\n' + "x" * 21 + "\nbad\nlast\n")
    assert main(["cache", "import", str(file)]) == 0
    assert listener.taken == ["one", "three three", "last"]
    assert {body["heading"] for _, _, body in listener.asked} == {'{"pointsman_cache":1}'}
    assert len(listener.asked) == 2
    assert capsys.readouterr().err.splitlines() == [
        "3 answers taken over, 3 refused", "line 3: bad", "line 6: it is too long", "line 7: bad",
    ]  # fmt: skip
    assert main(["cache", "import", str(tmp_path / "none")]) == 2


def test_an_import_of_which_nothing_is_taken_is_no_success(
    listener: Listener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listener.taken == []
    file = tmp_path / "a"
    file.write_text('{"pointsman_cache":1}\nbad\nbad too\n')
    assert main(["cache", "import", str(file)]) == 2
    assert capsys.readouterr().err.startswith("0 answers taken over, 2 refused\nline 2: bad")
    assert main(["cache", "import", str(file), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["kept"] == 0
    file.write_text('{"pointsman_cache":1}\n')
    assert main(["cache", "import", str(file)]) == 0


def test_a_curve_is_shown_taken_from_a_file_and_given_up(
    listener: Listener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache", "curve"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["CURVE", "minilm"], ["at_one", "-5.0"], ["per_distance", "17.0"], ["per_next", "2.0"], ["slot", "0.5"],
    ]  # fmt: skip
    file = tmp_path / "curve.json"
    file.write_text('{"embedder": "e", "at_one": -4.0}')
    assert main(["cache", "curve", str(file)]) == 0
    assert main(["cache", "curve", "--shipped", "--embedder", "e/1"]) == 0
    assert [(method, path.rpartition("/")[2], body) for method, path, body in listener.asked[1:]] == [
        ("PUT", "curve", {"embedder": "e", "at_one": -4.0}),
        ("DELETE", "curve?embedder=e%2F1", None),
    ]
    file.write_text("{")
    assert main(["cache", "curve", str(file)]) == 2
    assert main(["cache", "curve", str(tmp_path / "none")]) == 2
