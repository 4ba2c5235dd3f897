"""Random histories of a store in process beside a model that has a list: what is found, and what goes first."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.state.answers.in_process import InProcessAnswers
from gateway.state.answers.shelves import NO_RECORD
from gateway.state.answers.store import Entry, Kept, Place, Record, Used, Which
from policies.cache_eviction import Bounds, rank, saved_nanousd
from tests.answer_store_suite import EMBEDDER, Asked, beside, direction

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gateway.embedding.embedder import Vector

OWNERS = ("team:a", "team:b", "key:c")
QUESTIONS = ("log in", "Log in?", "log in ?", "pay", "Pay?", "leave", "cancel", "return")
TAGS = ("x", "y")
BOUNDS = Bounds(entries_max=8, bytes_max=40_000, owner_share=0.5)
START_S = 1_800_000_000.0
VECTORS = {question: beside(direction(1), 0.9, number) for number, question in enumerate(QUESTIONS, 10)}


@dataclass(eq=False)
class Modelled:
    entry: Entry
    number: int
    size_bytes: int
    vector: Vector | None
    record: Record = NO_RECORD
    rank: float = 0.0

    def value(self, age: float) -> float:
        used = self.entry.used
        return rank(age, saved_nanousd(used.cost_nanousd, used.output_tokens), self.record.hits, self.size_bytes)


@dataclass
class Model:
    """Everything by going through the list."""

    held: list[Modelled] = field(default_factory=list)
    near: dict[tuple[str, bytes], Modelled] = field(default_factory=dict)
    greedy: list[str] = field(default_factory=list)
    age: float = 0.0
    puts: int = 0

    def put(self, entry: Entry, vector: Vector | None, now_s: float) -> None:
        self.puts += 1
        self.remove(lambda one: one.entry.expires_at_s <= now_s)
        one = Modelled(entry, self.puts, entry.size_bytes + (0 if vector is None else vector.nbytes), vector)
        if one.size_bytes > BOUNDS.bytes_max // 8:
            return
        self.remove(lambda old: (old.entry.owner, old.entry.exact) == (entry.owner, entry.exact))
        one.rank = one.value(self.age)
        self.held.append(one)
        before = self.near.get((entry.owner, entry.near))
        if before is None or before.entry.stored_at_s <= entry.stored_at_s:
            self.near[entry.owner, entry.near] = one
        self.weigh()
        while len(self.held) > BOUNDS.entries_max or sum(one.size_bytes for one in self.held) > BOUNDS.bytes_max:
            payer = entry.owner if entry.owner in self.greedy else next(iter(self.greedy), None)
            candidates = [one for one in self.held if payer in {None, one.entry.owner}]
            least = min(candidates, key=lambda one: (one.rank, one.number))
            self.age = max(self.age, least.rank)
            self.remove(partial(is_, least))

    def remove(self, is_meant: Callable[[Modelled], bool]) -> int:
        going = [one for one in self.held if is_meant(one)]
        for one in going:
            self.held.remove(one)
            if self.near.get((one.entry.owner, one.entry.near)) is one:
                del self.near[one.entry.owner, one.entry.near]
            self.weigh()
        return len(going)

    def weigh(self) -> None:
        for owner in OWNERS:
            theirs = [one.size_bytes for one in self.held if one.entry.owner == owner]
            is_greedy = len(theirs) > BOUNDS.entries_max / 2 or sum(theirs) > BOUNDS.bytes_max / 2
            if is_greedy and owner not in self.greedy:
                self.greedy.append(owner)
            elif not is_greedy and owner in self.greedy:
                self.greedy.remove(owner)

    def found(self, owner: str, exact: bytes, near: bytes, now_s: float) -> Modelled | None:
        live = [one for one in self.held if one.entry.owner == owner and one.entry.expires_at_s > now_s]
        pointed = self.near.get((owner, near))
        exactly = next((one for one in live if one.entry.exact == exact), None)
        return exactly or (pointed if pointed in live else None)


class AnswerMachine(RuleBasedStateMachine):
    """Three owners with a few questions that have plain forms in common, in a store that is soon full."""

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.now_s = START_S
        self.store = InProcessAnswers(BOUNDS, lambda: self.now_s)
        self.model = Model()

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.close()

    def run(self, asked: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(asked)

    @rule(
        owner=st.sampled_from(OWNERS),
        question=st.sampled_from(QUESTIONS),
        cost=st.sampled_from([None, 0, 1_000, 50_000]),
        body_bytes=st.sampled_from([10, 3_000, 10_000]) | st.integers(0, 2_000),
        ttl_s=st.integers(1, 30),
        tags=st.lists(st.sampled_from(TAGS)).map(tuple),
        has_vector=st.booleans(),
    )
    def keep(self, *, owner: str, question: str, cost: int | None, body_bytes: int, ttl_s: int,
             tags: tuple[str, ...], has_vector: bool) -> None:  # fmt: skip
        entry = Asked(question, owner=owner).entry(self.now_s, f"ce_{self.model.puts}", tags=tags)
        entry = msgspec.structs.replace(
            entry, body=bytes(body_bytes), expires_at_s=self.now_s + ttl_s, used=Used(10, 20, cost_nanousd=cost)
        )
        vector = VECTORS[question] if has_vector else None
        self.model.put(entry, vector, self.now_s)
        self.run(self.store.keep(entry, vector))

    @rule(number=st.integers(0, 40), hits=st.integers(0, 3), bad=st.integers(0, 1))
    def note(self, number: int, hits: int, bad: int) -> None:
        live = [one for one in self.model.held if one.entry.expires_at_s > self.now_s]
        if live:
            one = live[number % len(live)]
            self.store.note(Kept(one.entry, one.record), hits=hits, bad=bad)
            one.record = Record(one.record.hits + hits, 0, one.record.bad + bad)
            if hits:
                one.rank = max(one.rank, one.value(self.model.age))

    @rule(seconds=st.integers(1, 12))
    def pass_time(self, seconds: int) -> None:
        self.now_s += seconds

    @rule(
        owner=st.none() | st.sampled_from(OWNERS),
        tag=st.none() | st.sampled_from(TAGS),
        age_s=st.none() | st.integers(0, 10),
        number=st.none() | st.integers(0, 40),
    )
    def drop(self, owner: str | None, tag: str | None, age_s: int | None, number: int | None) -> None:
        before_s = None if age_s is None else self.now_s - age_s
        which = Which(owner, None, tag, before_s, None if number is None else f"ce_{number}")
        self.model.remove(lambda one: one.entry.expires_at_s <= self.now_s)
        dropped = self.model.remove(
            lambda one: (
                (owner is None or one.entry.owner == owner)
                and (tag is None or tag in one.entry.tags)
                and (before_s is None or one.entry.stored_at_s < before_s)
                and (which.id is None or one.entry.id == which.id)
            )
        )
        assert self.run(self.store.drop(which)) == dropped

    @invariant()
    def what_is_found_is_what_the_model_has(self) -> None:
        if not hasattr(self, "store"):
            return
        for owner in OWNERS:
            for question in QUESTIONS:
                asked = Asked(question, owner=owner)
                found = self.run(self.store.find(owner, asked.exact, asked.near))
                expected = self.model.found(owner, asked.exact, asked.near, self.now_s)
                assert (found and found[:2]) == (expected and (expected.entry, expected.record))

    @invariant()
    def bounds_hold(self) -> None:
        if hasattr(self, "store"):
            shelves = self.store._shelves
            assert len(shelves) <= BOUNDS.entries_max
            assert shelves.size_bytes <= BOUNDS.bytes_max
            assert shelves.size_bytes == sum(one.size_bytes for one in shelves.by_id.values())

    @invariant()
    def neighbours_are_the_owner_s_and_live(self) -> None:
        if not hasattr(self, "store"):
            return
        for owner in OWNERS:
            place = Place(owner, Asked().scope, EMBEDDER)
            found = self.run(self.store.nearest(place, direction(1), 20))
            live = {
                one.entry.id
                for one in self.model.held
                if one.vector is not None and one.entry.owner == owner and one.entry.expires_at_s > self.now_s
            }
            assert {neighbour.kept.entry.id for neighbour in found} == live


AnswerMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=35, deadline=None)
