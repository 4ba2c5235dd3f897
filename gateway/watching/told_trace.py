"""All that is known of one call, for people: where it went and why, when, and what it cost, to be checked by hand."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.explaining.decisions import deployment_id
from gateway.explaining.tables import shown
from gateway.scrubbing import printable
from gateway.usd import usd_text
from gateway.watching.told_bill import told_bill
from gateway.watching.waterfall import Bar, ms, waterfall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.explaining.attempt_bills import AttemptTold
    from gateway.explaining.decisions import Step
    from gateway.explaining.traced import TracedCall

LINE_CHARS: Final = 2_000


def told_trace(told: TracedCall, columns: int) -> str:
    """No line is longer than `columns`, and none has anything in it that a terminal would act upon."""
    lines = (printable(line, LINE_CHARS) for line in _lines(told, columns))
    return "".join(f"{line}\n" for long in lines for line in _folded(long, columns))


def _folded(line: str, columns: int) -> list[str]:
    if len(line) <= columns:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, columns, subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def _lines(told: TracedCall, columns: int) -> Iterator[str]:
    call = told.call
    at = datetime.fromtimestamp(call.at_ms / 1000, UTC).isoformat(sep=" ", timespec="milliseconds")
    yield f"{told.request_id}  {at.partition('+')[0]} UTC"
    decision = told.decision
    how = [
        _ended(told),
        "" if told.timings is None else ms(told.timings.total_ms),
        "streamed" if call.stream else "",
        "" if decision is None or decision.replay_of is None else f"the answer of {decision.replay_of}",
    ]
    yield ", ".join(filter(None, how))
    owners = {"team": call.team, "user": call.user, "org": call.org, "tags": ",".join(call.tags)}
    if any(owners.values()):
        yield ", ".join(f"{name} {value}" for name, value in owners.items() if value)
    yield ""
    if decision is None:
        yield f"{call.endpoint} for {call.model}, by {_key(call.key)}"
        yield f"route {call.route or 'not known'}"
    else:
        yield from shown(decision).splitlines()
    bars = list(_bars(told))
    if bars:
        total_ms = 0.0 if told.timings is None else told.timings.total_ms
        yield ""
        yield "TIMES" + ("" if told.timings is None else f" of {ms(total_ms)}")
        yield from waterfall(bars, total_ms, columns)
    yield ""
    yield from _attempts(told)
    yield ""
    yield from _sum(told)
    if told.unknown:
        yield "NOT KNOWN"
        yield from (f"  {what}" for what in told.unknown)


def _ended(told: TracedCall) -> str:
    if told.decision is not None:
        status = told.decision.status or "nothing sent"
        return " ".join(filter(None, (str(status), told.outcome, told.decision.error)))
    last = told.attempts[-1] if told.attempts else None
    return "how it ended is not known" if last is None else f"its last attempt: {last.status or ''} {last.outcome}"


def _key(name: str | None) -> str:
    return "anyone" if name is None else f"key {name}"


def _bars(told: TracedCall) -> Iterator[Bar]:
    """Stages and attempts; of older calls the attempts, since the first of them began."""
    if told.timings is not None:
        for stage in told.timings.stages:
            yield Bar(stage.stage, stage.began_ms, stage.ended_ms)
    if told.decision is not None:
        total_ms = 0.0 if told.timings is None else told.timings.total_ms
        for step in told.decision.attempts:
            ended_ms = total_ms if step.ended_ms is None else step.ended_ms
            yield Bar(
                f"{step.attempt} {deployment_id(step)}", step.began_ms, ended_ms, step.first_token_ms, step.outcome
            )
        return
    for one in told.attempts:
        if one.cache is None:
            first_ms = None if one.ttft_ms is None else float(one.after_ms + one.ttft_ms)
            ended_ms = one.after_ms + one.duration_ms
            yield Bar(f"{one.attempt} {one.deployment}", one.after_ms, ended_ms, first_ms, one.outcome)


def _attempts(told: TracedCall) -> Iterator[str]:
    steps = {} if told.decision is None else {step.attempt: step for step in told.decision.attempts}
    if not told.attempts:
        yield "no deployment was asked, and nothing was charged" if not steps else "what was charged is not known"
        return
    yield "ATTEMPTS"
    for one in told.attempts:
        yield f"  {_head(one, steps.get(one.attempt))}"
        yield from told_bill(one)
        if one.attempt in told.disagreeing:
            yield "     MISMATCH: the ledger's row is not the one that this process handed it"


def _head(one: AttemptTold, step: Step | None) -> str:
    if one.cache is not None:
        return f"0 kept answer of {one.deployment} ({one.model})"
    kind = "" if step is None else f" {step.kind}"
    where = one.deployment if step is None else deployment_id(step)
    why = (step.code if step is not None else one.error) or ""
    ended = [one.outcome, str(one.status) if one.status else "", "" if why == one.outcome else why]
    told = " ".join(filter(None, ended if one.outcome != "ok" else ended[:1]))
    first = "" if one.ttft_ms is None else f", first token after {ms(one.ttft_ms)}"
    return f"{one.attempt}{kind} {where} ({one.provider}, {one.model}): {told} in {ms(one.duration_ms)}{first}"


def _sum(told: TracedCall) -> Iterator[str]:
    priced = [one.cost_nanousd for one in told.attempts if one.cost_nanousd is not None and one.cache is None]
    unpriced = sum(1 for one in told.attempts if one.unpriced is not None)
    if unpriced:
        attempts = "one attempt has" if unpriced == 1 else f"{unpriced} attempts have"
        yield f"UNPRICED: {attempts} no known cost, so the call cost more than is shown"
    if told.cost_nanousd is None:
        if told.attempts and not unpriced:
            yield "COST OF THE CALL  nothing"
        return
    sums = f" = {' + '.join(map(usd_text, priced))}" if len(priced) > 1 else ""
    yield f"COST OF THE CALL  {usd_text(told.cost_nanousd)} USD{sums}"
    if sum(priced) != told.cost_nanousd:
        yield f"MISMATCH: its attempts cost {usd_text(sum(priced))} USD"
