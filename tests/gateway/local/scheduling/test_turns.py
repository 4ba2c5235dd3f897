from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from gateway.local.scheduling.turns import Turns

if TYPE_CHECKING:
    from gateway.local.binding.context import Context


@dataclass
class FakeContext:
    change_s: float = 0.01
    adapted: list[str | None] = field(default_factory=list)

    def adapt(self, adapter: str | None) -> None:
        self.adapted.append(adapter)


def test_the_context_computes_with_whoevers_turn_it_is() -> None:
    context = FakeContext()
    turns = Turns(cast("Context", context), max_decode_gap_s=0.4)
    steps = [turns.next({None, "poet"}, number * 0.03) for number in range(9)]
    assert steps == ["poet", "poet", "poet", None, None, None, "poet", "poet", "poet"]
    assert context.adapted == steps


def test_alone_nobody_waits_for_a_turn() -> None:
    turns = Turns(cast("Context", FakeContext()), max_decode_gap_s=0.4)
    assert [turns.next({name}, 0.0) for name in ("poet", None, "poet")] == ["poet", None, "poet"]
