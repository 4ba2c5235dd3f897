"""The names under which engines appear in telemetry.

What every deployment that tells its line has, the bundled engine's or one elsewhere, goes by the deployment; the rest,
of engines of this process alone, by the name of the engine's provider, since several deployments may have one engine.

Each worker of `server.workers` has engines of its own. What they hold, do and have in line is added up: it takes memory
and serves callers side by side. Times, shares and whether one is up are told of the worst, which a sum would hide. An
engine elsewhere is one for all workers, and each tells the same of it: its amounts are not added up.
"""

from __future__ import annotations

from gateway.signals.telemetry import DURATION, NANO, Family, Kind, Merge

LOCAL_PHASE = Family(
    "pointsman_local_phase_seconds",
    Kind.HISTOGRAM,
    "Where the time of answers of the bundled engine went: queue, prefill or decode.",
    ("deployment", "phase"),
    DURATION,
)
LOCAL_COMPUTE = Family(
    "pointsman_local_compute_seconds_total",
    Kind.COUNTER,
    "The bundled engine's time, shared among the calls of each step by what they had of it.",
    ("deployment", "team"),
    scale=NANO,
    cap=5_000,
)
LOCAL_UP = Family(
    "pointsman_local_up",
    Kind.GAUGE,
    "1 while the engine behind a deployment has its model loaded and takes calls.",
    ("deployment",),
    merge=Merge.SMALLEST,
)
LOCAL_LOADS = Family(
    "pointsman_local_loads_total",
    Kind.COUNTER,
    "Loads of the engine's model, the first included.",
    ("engine",),
)
LOCAL_RESTARTS = Family(
    "pointsman_local_restarts_total",
    Kind.COUNTER,
    "Workers started after one that died.",
    ("engine",),
)
LOCAL_COLD_START = Family(
    "pointsman_local_cold_start_seconds",
    Kind.GAUGE,
    "How long the last load took, from the worker's start to its first token.",
    ("engine",),
    merge=Merge.LARGEST,
)
LOCAL_MEMORY = Family(
    "pointsman_local_memory_bytes",
    Kind.GAUGE,
    "What the loaded model is reckoned to take: weights, cells and buffers.",
    ("engine",),
)
LOCAL_CALLS = Family(
    "pointsman_local_calls",
    Kind.GAUGE,
    "Calls at the engine, waiting or running.",
    ("engine",),
)
LOCAL_SLOTS = Family(
    "pointsman_local_slots",
    Kind.GAUGE,
    "Runs that the engine behind a deployment computes at once.",
    ("deployment",),
)
LOCAL_SLOTS_BUSY = Family(
    "pointsman_local_slots_busy",
    Kind.GAUGE,
    "Runs that have a slot.",
    ("deployment",),
)
LOCAL_QUEUE = Family(
    "pointsman_local_queue",
    Kind.GAUGE,
    "Runs in the engine's line.",
    ("deployment",),
)
LOCAL_WAITING_TOKENS = Family(
    "pointsman_local_waiting_tokens",
    Kind.GAUGE,
    "Prompt tokens still to be read, in the line and in slots.",
    ("engine",),
)
LOCAL_CELLS = Family(
    "pointsman_local_kv_cells",
    Kind.GAUGE,
    "Cells of the KV cache.",
    ("engine",),
)
LOCAL_KV_USED = Family(
    "pointsman_local_kv_used_ratio",
    Kind.GAUGE,
    "The share of the KV cache's cells that hold a token, also of texts that have ended and may begin another.",
    ("deployment",),
    merge=Merge.LARGEST,
)
LOCAL_GPU_S = Family(
    "pointsman_local_gpu_seconds_total",
    Kind.COUNTER,
    "Time of the hardware behind a deployment, times its GPUs, by whether it was at work (busy) or not (idle).",
    ("deployment", "state"),
    scale=NANO,
)
LOCAL_GPU_COST = Family(
    "pointsman_local_gpu_cost_usd_total",
    Kind.COUNTER,
    "What that time costs by the policy's `gpu`. What is idle is charged to nobody.",
    ("deployment", "state"),
    scale=NANO,
)
LOCAL_STEPS = Family(
    "pointsman_local_steps_total",
    Kind.COUNTER,
    "Steps of the engine.",
    ("engine",),
)
LOCAL_STEP = Family(
    "pointsman_local_step_seconds",
    Kind.GAUGE,
    "A step's duration, as a decayed mean.",
    ("engine",),
    merge=Merge.LARGEST,
)
LOCAL_STEP_PYTHON = Family(
    "pointsman_local_step_python_seconds",
    Kind.GAUGE,
    "The part of a step that is not llama.cpp's, as a decayed mean.",
    ("engine",),
    merge=Merge.LARGEST,
)
LOCAL_LONGEST_GAP = Family(
    "pointsman_local_longest_gap_seconds",
    Kind.GAUGE,
    "The longest time that a running answer waited for its next token since the worker began.",
    ("engine",),
    merge=Merge.LARGEST,
)
LOCAL_PACE = Family(
    "pointsman_local_tokens_per_second",
    Kind.GAUGE,
    "Tokens per second of work, as a decayed mean: prefill or decode.",
    ("engine", "phase"),
)
LOCAL_TOKENS = Family(
    "pointsman_local_tokens_total",
    Kind.COUNTER,
    "Tokens read (prefill), found in cells (reused), written (decode), guessed ahead, and guessed right (accepted).",
    ("engine", "kind"),
)
