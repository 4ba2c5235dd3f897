from __future__ import annotations

import json
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gateway.__main__ import main
from gateway.commands import cache_calibrate
from gateway.commands.cache_calibrate import calibrated, lines
from gateway.commands.cache_stream import How
from policies.cache_curves import SHIPPED
from policies.cache_fitting import TooFewError

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.embedding.embedder import Vector

DIMENSIONS = 24
STEPS = "klmnopqrst"


class Painted:
    """An embedder that puts questions of one kind near each other, and some of others just as near."""

    id = SHIPPED[0].embedder
    dimensions = DIMENSIONS

    async def embed(self, text: str) -> Vector | None:
        if text == "too long":
            return None
        kind, number = text.removesuffix("?").split()[-2:]
        centre = np.random.default_rng([*kind.encode()]).normal(size=DIMENSIONS)
        off = np.random.default_rng([*number.encode()]).normal(size=DIMENSIONS)
        made = (centre + (0.05 + 0.06 * STEPS.index(number[0])) * off).astype(np.float32)
        return made / np.linalg.norm(made)

    async def start(self) -> None:
        """It is there."""

    async def close(self) -> None:
        """It is gone."""


def a_stream(count: int) -> list[dict[str, Any]]:
    """The further a question lies from others of its kind, the likelier it has another answer."""
    rng = Random(5)
    words = ["canary", "finch", "sparrow", "raven", "heron", "swift", "eagle", "kestrel", "plover", "dunlin"]
    made = []
    for _ in range(count):
        kind = rng.choice(words) + "abcdefghij"[rng.randrange(10)]
        number = rng.choice(STEPS) + "".join(rng.choice(STEPS) for _ in range(6))
        answer = f"{kind} {number}" if rng.random() < 0.35 * (STEPS.index(number[0]) / 9) ** 2 else kind
        made.append({"question": f"Tell of {kind} {number}?", "class": answer})
    return made


async def test_a_stream_brings_a_curve_and_says_how_it_did_before_and_after() -> None:
    report = await calibrated([*a_stream(600), {"question": "too long", "class": "x"}], How(0.02), Painted())
    assert report.observations >= 200
    assert report.wrong >= 10
    assert report.is_better
    assert report.before.expected < report.before.wrong.low * report.before.wrong.of
    assert report.after.expected >= report.after.wrong.low * report.after.wrong.of
    assert report.before_run is not None
    assert report.after_run is not None
    assert report.before_run.hits.of == report.after_run.wrong.of == 600
    assert report.after_run.wrong.count <= report.before_run.wrong.count
    assert report.curve.embedder == Painted.id
    told = list(lines(report))
    assert told[0] == f"{report.observations} candidates, {report.wrong} of them wrong"
    assert sum("with a budget of 2.00%" in line for line in told) == 2
    assert "per distance" in told[-1]


async def test_answers_are_compared_as_shadow_checks_do_where_there_are_no_classes() -> None:
    stream = a_stream(600)
    answers = [line["class"] if " " in line["class"] else f"{line['class']} kkk" for line in stream]
    said = [{"question": line["question"], "answer": answer} for line, answer in zip(stream, answers, strict=True)]
    by_class = await calibrated(stream, How(0.02), Painted())
    by_answer = await calibrated(said, How(0.02), Painted())
    assert 0 < by_answer.wrong < by_class.wrong
    assert by_answer.observations < by_class.observations, "what lies between alike and unlike is not counted"
    assert by_answer.after_run is not None
    assert by_answer.after_run.untold > 0


async def test_pairs_bring_a_curve_and_no_run() -> None:
    stream = a_stream(1200)
    pairs = [
        {"a": one["question"], "b": other["question"], "same": one["class"] == other["class"]}
        for one, other in pairwise(stream)
    ]
    report = await calibrated(pairs, How(), Painted())
    assert (report.before_run, report.after_run) == (None, None)
    assert report.observations == 1199
    assert not any("budget" in line for line in lines(report))


@pytest.mark.parametrize("count", [0, 50])
async def test_too_little_is_refused(count: int) -> None:
    with pytest.raises(TooFewError):
        await calibrated(a_stream(count), How(), Painted())


def test_the_command_writes_the_curve_and_tells_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def painted(found: list[dict[str, Any]], how: How) -> Any:
        return await calibrated(found, how, Painted())

    monkeypatch.setattr(cache_calibrate, "_calibrated", painted)
    file, out = tmp_path / "asked", tmp_path / "curve.json"
    file.write_text("\n".join(map(json.dumps, a_stream(600))))
    assert main(["cache", "calibrate", str(file), "--budget", "0.02", "--out", str(out)]) == 0
    said, next_ = capsys.readouterr()
    assert said.splitlines()[-1].startswith(f"curve of {Painted.id}:")
    assert next_ == f"the curve is in {out}; `pointsman cache curve {out}` puts it in force\n"
    assert main(["cache", "calibrate", str(file), "--budget", "0.02"]) == 0
    assert "--out FILE keeps the curve" in capsys.readouterr().err
    curve = json.loads(out.read_text())
    assert set(curve) == {
        "embedder", "at_one", "per_distance", "per_next", "per_sign", "observations", "wrong"
    }  # fmt: skip
    file.write_text(json.dumps(a_stream(1)[0]))
    assert main(["cache", "calibrate", str(file)]) == 1
    assert "too little to go by" in capsys.readouterr().err
    assert main(["cache", "calibrate", str(tmp_path / "none")]) == 2
    assert "none: No such file" in capsys.readouterr().err
