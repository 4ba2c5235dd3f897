"""The local board's later rows: whether engines are full, and where callers' time goes."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import grown, quantile, rate
from dashboards.building.values import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    Column,
    Override,
    Panel,
    Query,
    Row,
    Show,
    State,
    up_to,
)

_IDLE: Final = "nothing was computed in the time shown"
_SCRAPED: Final = "only where Prometheus scrapes engines itself, under a label `deployment`"
_ENGINE: Final = Row(
    "Is the engine full?",
    (
        Panel(
            Show.GRAPH,
            "Slots and line",
            "Calls that are computed, beside how many could be, and calls that wait.",
            "short",
            (
                Query(
                    "max by (instance, deployment) (pointsman_local_slots{**})", "{{deployment}} at {{instance}}: slots"
                ),
                Query(
                    "max by (instance, deployment) (pointsman_local_slots_busy{**})",
                    "{{deployment}} at {{instance}}: busy",
                ),
                Query(
                    "max by (instance, deployment) (pointsman_local_queue{**})",
                    "{{deployment}} at {{instance}}: waiting",
                ),
            ),
            decimals=0,
            overrides=(Override(".*: slots", BLUE, dashed=True), Override(".*: waiting", ORANGE)),
        ),
        Panel(
            Show.GRAPH,
            "KV cache used",
            "Share of the context memory that holds tokens, also of texts that have ended and may begin another. "
            "Full and waiting at once: longer prompts than the engine has room for.",
            "percentunit",
            (
                Query(
                    "max by (instance, deployment) (pointsman_local_kv_used_ratio{**})",
                    "{{deployment}} at {{instance}}",
                ),
            ),
            most=1,
            steps=up_to((0.95, RED)),
            steps_shown=True,
        ),
        Panel(
            Show.STATES,
            "Engine",
            "Whether the engine's model is loaded and takes calls.",
            "none",
            (Query("min by (instance, deployment) (pointsman_local_up{**})", "{{deployment}} at {{instance}}"),),
            states=(State(1, "up", GREEN), State(0, "away", RED)),
            steps=up_to((1, GREEN), first=RED),
        ),
        Panel(
            Show.GRAPH,
            "Tokens per second",
            "Tokens that the engine reads (prefill), finds in memory (reused) and writes (decode).",
            "short",
            (Query(rate("pointsman_local_tokens_total{**}", "kind"), "{{kind}}"),),
            decimals=0,
        ),
        Panel(
            Show.GRAPH,
            "Pace of work",
            "Tokens per second of computing, as the engine reckons it: how fast it is while it is at it.",
            "short",
            (Query("max by (engine, phase) (pointsman_local_tokens_per_second{**})", "{{engine}}: {{phase}}"),),
            decimals=0,
            log_scale=True,
            least=0.1,
        ),
        Panel(
            Show.GRAPH,
            "Guesses that were right",
            "Share of tokens guessed ahead that the model would have written itself: each is a token for almost "
            "nothing.",
            "percentunit",
            (
                Query(
                    f"""{rate('pointsman_local_tokens_total{**,kind="accepted"}')} / """
                    f"""({rate('pointsman_local_tokens_total{**,kind="guessed"}')} > 0)""",
                    "right",
                    empty="nothing was guessed",
                ),
            ),
            most=1,
        ),
    ),
)
_WAIT: Final = Row(
    "Where does callers' time go?",
    (
        Panel(
            Show.GRAPH,
            "Queue, prefill, decode: p95",
            "What 95 of 100 answers waited for a slot, for their prompt to be read, and for their text to be "
            "written. The first two make the time to the first token.",
            "s",
            (Query(quantile(0.95, "pointsman_local_phase_seconds", "phase"), "{{phase}}", empty=_IDLE),),
            width=12,
            overrides=(Override("queue", ORANGE), Override("prefill", BLUE), Override("decode", GREEN)),
        ),
        Panel(
            Show.GRAPH,
            "Share of time by phase",
            "Where all callers' time went. A growing share of queue: add a slot, an engine, or a limit.",
            "percentunit",
            (
                Query(
                    f"{rate('pointsman_local_phase_seconds_sum{**}', 'phase')} / on () group_left () "
                    f"({rate('pointsman_local_phase_seconds_sum{**}')} > 0)",
                    "{{phase}}",
                    empty=_IDLE,
                ),
            ),
            width=12,
            stacked=True,
            most=1,
            overrides=(Override("queue", ORANGE), Override("prefill", BLUE), Override("decode", GREEN)),
        ),
        Panel(
            Show.GRAPH,
            "A step",
            "What one step of the engine takes, how much of it is not llama.cpp's, and the longest wait for a next "
            "token since the engine began.",
            "s",
            (
                Query("max by (engine) (pointsman_local_step_seconds{**})", "{{engine}}: step"),
                Query("max by (engine) (pointsman_local_step_python_seconds{**})", "{{engine}}: of it Python"),
                Query("max by (engine) (pointsman_local_longest_gap_seconds{**})", "{{engine}}: longest gap"),
                Query(rate("pointsman_local_steps_total{**}", "engine"), "{{engine}}: steps per second"),
            ),
            overrides=(
                Override(".*: longest gap", RED, dashed=True),
                Override(".*: steps per second", GREEN, right_unit="cps"),
            ),
        ),
        Panel(
            Show.TABLE,
            "Engines",
            "What each engine takes in memory, how often its model was loaded, and how often its worker died.",
            "short",
            (
                Query("max by (engine) (pointsman_local_memory_bytes{**})", instant=True),
                Query("max by (engine) (pointsman_local_cold_start_seconds{**})", instant=True),
                Query(grown("pointsman_local_loads_total{**}", "engine"), instant=True),
                Query(grown("pointsman_local_restarts_total{**}", "engine"), instant=True),
                Query("max by (engine) (pointsman_local_calls{**})", instant=True),
                Query("max by (engine) (pointsman_local_waiting_tokens{**})", instant=True),
                Query("max by (engine) (pointsman_local_kv_cells{**})", instant=True),
            ),
            width=16,
            columns=(
                Column("engine", "Engine"),
                Column("Value #A", "Memory", unit="bytes", decimals=1),
                Column("Value #B", "Last load took", unit="s", decimals=1),
                Column("Value #C", "Loads", unit="short", decimals=0),
                Column("Value #D", "Deaths", unit="short", decimals=0, steps=up_to((1, RED))),
                Column("Value #E", "Calls now", unit="short", decimals=0),
                Column("Value #F", "Tokens to read", unit="short", decimals=0),
                Column("Value #G", "KV cells", unit="short", decimals=0),
            ),
        ),
    ),
)
_SCRAPES: Final = Row(
    "Engines that Prometheus scrapes itself (vLLM, llama.cpp's server)",
    (
        Panel(
            Show.GRAPH,
            "vLLM: running, waiting, preempted",
            "Calls in vLLM and calls that lost their place for want of memory, where Prometheus scrapes it with a "
            "label `deployment` (deploy/observability/prometheus.yml shows how).",
            "short",
            (
                Query(
                    "sum by (deployment) (vllm:num_requests_running{**})",
                    "{{deployment}}: running",
                    empty=_SCRAPED,
                ),
                Query(
                    "sum by (deployment) (vllm:num_requests_waiting{**})",
                    "{{deployment}}: waiting",
                    empty=_SCRAPED,
                ),
                Query(
                    rate("vllm:num_preemptions_total{**}", "deployment"),
                    "{{deployment}}: preemptions per second",
                    empty=_SCRAPED,
                ),
            ),
            overrides=(Override(".*: preemptions per second", RED, right_unit="cps"),),
        ),
        Panel(
            Show.GRAPH,
            "vLLM: KV cache used",
            "Share of vLLM's context memory in use. Near 1 it preempts.",
            "percentunit",
            (
                Query(
                    "max by (deployment) (vllm:kv_cache_usage_perc{**})",
                    "{{deployment}}",
                    empty=_SCRAPED,
                ),
            ),
            most=1,
            steps=up_to((0.95, RED)),
            steps_shown=True,
        ),
        Panel(
            Show.GRAPH,
            "llama.cpp's server: at work and deferred",
            "Calls in llama-server and calls that wait for a slot, and the tokens that it writes per second.",
            "short",
            (
                Query(
                    "sum by (deployment) (llamacpp:requests_processing{**})",
                    "{{deployment}}: at work",
                    empty=_SCRAPED,
                ),
                Query(
                    "sum by (deployment) (llamacpp:requests_deferred{**})",
                    "{{deployment}}: deferred",
                    empty=_SCRAPED,
                ),
                Query(
                    rate("llamacpp:tokens_predicted_total{**}", "deployment"),
                    "{{deployment}}: tokens per second",
                    empty=_SCRAPED,
                ),
            ),
            overrides=(Override(".*: tokens per second", GREEN, right_unit="short"),),
        ),
    ),
    folded=True,
)
ROWS: Final = (_ENGINE, _WAIT, _SCRAPES)
