"""A stream that survives its upstream: where it breaks, another attempt goes on from the text that the caller has.

Nothing is held back for it. The stream goes out as it comes, and only its text is remembered; what another attempt adds
is made to look like more of the same answer. Where that cannot be done the caller gets the error that it would have
got without it. A comment in the stream, `: resumed by prefill`, marks the place; SDKs skip comments.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from adapters.continuation import continued
from adapters.openai_events import DONE
from adapters.stitching import Shown, Stitch, Unjoined, add_up, usage_event
from gateway.errors import GatewayError, InternalError, UpstreamError
from policies.failures import blames_request
from policies.resuming import Joined, Joint, Sent, end, hindrance, join, may_go_on, may_repeat, open_ways
from policies.route_rules import Resume
from policies.usage import Usage
from policies.vocabulary import Endpoint

if TYPE_CHECKING:
    from adapters.schema import InferenceRequest
    from gateway.call import Reply
    from gateway.records.settlement import TokenCounts
    from gateway.upstream import Answer
    from policies.vocabulary import Deployment, Failure

log = logging.getLogger(__name__)

NOBODY: Final = frozenset[str]()


class Legs(Protocol):
    """The attempts of one call whose stream may go on: each is chosen, reserved, recorded and billed as any other."""

    async def open(self, request: InferenceRequest, *, exclude: frozenset[str], only_prefill: bool) -> Reply | None:
        """The answer to `request`, known good, of a deployment that `exclude` names neither by id nor by name.

        `only_prefill`: of one that is known to have `Capability.PREFILL`. None where nobody is left to ask, or no
        attempt. Raises `UpstreamError` where those that were asked failed, and what a reservation raises. The attempt
        is the one that answers from now on.
        """

    def drop(self, failure: Failure | None) -> None:
        """The attempt that answers is over, and what it holds is given back: it broke with `failure`, or its answer is
        of no use to the caller (None), which is nobody's failure. Called before another is opened.
        """


def resumable(
    reply: Reply, request: InferenceRequest, ways: tuple[Resume, ...], legs: Legs, counts: TokenCounts
) -> Answer:
    """The reply's answer, going on elsewhere where it breaks if it is a stream of plain text; else just the answer."""
    if not ways or reply.answer.body is not None or reply.deployment is None:
        return reply.answer
    if hindrance(request.endpoint, request.choices, request.members):
        return reply.answer
    return ResumableAnswer(Part(reply.answer, reply.deployment, request), ways, legs, counts)


class Part(NamedTuple):
    """One attempt's part of an answer: whose it is, and what was asked for."""

    answer: Answer
    deployment: Deployment
    request: InferenceRequest


class ResumableAnswer:
    """One answer to the caller, of as many attempts as it takes. `tally` is that of the attempt that answers now."""

    def __init__(self, first: Part, ways: tuple[Resume, ...], legs: Legs, counts: TokenCounts) -> None:
        self.body: bytes | None = None
        self.headers = first.answer.headers
        self.first_token_s = first.answer.first_token_s
        self.tally = first.answer.tally
        self._part = first
        self._request = first.request
        self._ways = ways
        self._legs = legs
        self._counts = counts
        self._way: Resume | None = None
        self._shown = Shown()
        self._stitch: Stitch | None = None
        self._spent = Usage()
        self._broke: set[str] = set()
        self._has_hole = False
        self._failure: UpstreamError | None = None
        self._mark = b""
        self._is_over = False

    async def read(self) -> bytes:
        """The next whole events; empty bytes at the honest end. Raises `UpstreamError` where nobody goes on."""
        while not self._is_over:
            try:
                data = await self._part.answer.read()
            except UpstreamError as broken:
                await self._go_on(broken)
                continue
            if self._stitch is None:
                self._shown.note(data)
                return data
            try:
                events = self._stitch.take(data) if data else await self._finish(self._stitch)
            except Unjoined:
                await self._go_on(None)
                continue
            if events:
                mark, self._mark = self._mark, b""
                return mark + events
        return b""

    def close(self) -> None:
        self._part.answer.close()

    async def _finish(self, stitch: Stitch) -> bytes:
        last = stitch.finish()
        if self._request.include_usage and not stitch.has_told_usage:
            last += usage_event(self._shown, add_up(self._spent, await self._used()))
        self._is_over = True
        return last + DONE

    async def _go_on(self, broken: UpstreamError | None) -> None:
        """Have another attempt answer. Raises the error that ended what the caller has, where none can."""
        failure = broken if broken is not None and not self._mark else self._failure
        if failure is None:
            raise InternalError("a stream that did not break was to go on")
        self._failure = failure
        ways = self._open_ways(broken)
        if ways or self._stitch is not None:
            self._legs.drop(None if broken is None else broken.failure)
        self._part.answer.close()
        if not ways:
            raise failure
        used, tokens = await self._count()
        self._spent = add_up(self._spent, used)
        for way, exclude in self._plan(ways, failure.failure):
            if await self._open(way, exclude, tokens):
                return
        raise failure

    def _open_ways(self, broken: UpstreamError | None) -> tuple[Resume, ...]:
        if broken is None:  # the new answer was another one, and a third would be no better
            self._ways = tuple(way for way in self._ways if way is not self._way)
        else:
            self._broke.add(self._part.deployment.id)
        if broken is not None and not may_go_on(broken.failure):
            return ()
        self._has_hole = self._has_hole or self.tally.damaged_events > 0
        shown = self._shown
        return open_ways(self._ways, Sent(shown.text, shown.is_plain, shown.is_finished, self._has_hole))

    def _plan(self, ways: tuple[Resume, ...], failure: Failure) -> list[tuple[Resume, frozenset[str]]]:
        """What to try in turn. A model goes on where it broke off itself only where nobody else does."""
        elsewhere = frozenset(self._broke)
        plan = [(way, elsewhere) for way in ways]
        if Resume.PREFILL in ways and may_repeat(failure):
            plan.append((Resume.PREFILL, NOBODY))
        return plan

    async def _open(self, way: Resume, exclude: frozenset[str], tokens: int) -> bool:
        """Whether an attempt that goes on in this way has shown its first content."""
        text = self._shown.text
        asked = continued(self._request, text, tokens) if way is Resume.PREFILL else self._request
        if asked is None:
            return False
        only_prefill = way is Resume.PREFILL and self._request.endpoint is Endpoint.CHAT
        reply = await self._ask(asked, set(exclude), only_prefill=only_prefill)
        if reply is None or reply.deployment is None:
            return False
        seam = _Seam(Joint(way, text))
        self._part, self._way = Part(reply.answer, reply.deployment, asked), way
        self.tally = reply.answer.tally
        self._stitch = Stitch(self._shown, seam.join, seam.end, self._spent)
        self._mark = b": resumed by %b\n\n" % way.value.encode()
        return True

    async def _ask(self, asked: InferenceRequest, exclude: set[str], *, only_prefill: bool) -> Reply | None:
        while True:
            try:
                return await self._legs.open(asked, exclude=frozenset(exclude), only_prefill=only_prefill)
            except UpstreamError as error:
                # Whoever else might answer was asked, unless one refused the request itself: others may take it.
                if not blames_request(error.failure) or error.deployment in exclude:
                    return None
                exclude.add(error.deployment)
            except GatewayError as error:
                log.info("a stream that broke cannot go on: %s", error.message)
                return None

    async def _count(self) -> tuple[Usage, int]:
        """What the attempt that is over used, and how much of the answer the caller has; only where it matters."""
        asked = self._request
        limited = asked.output_tokens_max is not None or asked.output_tokens_added is not None
        used = await self._used() if asked.include_usage else Usage()
        if not limited:
            return used, 0
        counted = await self._counts.count([self._shown.text], self._part.deployment.model)
        return used, max(self._shown.pieces, counted)

    async def _used(self) -> Usage:
        """By the attempt that answers now: as it says itself, else as its ledger row will have it."""
        tally, model = self.tally, self._part.deployment.model
        seen = tally.usage or Usage()
        if tally.usage is not None and (seen.estimated or tally.finish_reasons):
            return seen
        input_tokens = await self._counts.count_request(self._part.request, model)
        output_tokens = await self._counts.count(tally.text, model)
        return seen._replace(
            input_tokens=max(input_tokens, seen.input_tokens),
            output_tokens=max(output_tokens, seen.output_tokens),
            estimated=True,
        )


class _Seam:
    """A joint that remembers how far it has come."""

    __slots__ = ("_joint",)

    def __init__(self, joint: Joint) -> None:
        self._joint = joint

    def join(self, piece: str) -> str | None:
        return self._moved(join(self._joint, piece))

    def end(self) -> str | None:
        return self._moved(end(self._joint))

    def _moved(self, joined: Joined | None) -> str | None:
        if joined is None:
            return None
        self._joint, text = joined
        return text
