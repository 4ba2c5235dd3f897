"""The policy of the gateways under observation: a route for each kind of call, owners rich and poor, an engine of ours.

`everything` is one process with all of it; `crew` is what several workers share, with its limits in Redis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.extras import LLAMA, SEMANTIC, is_installed

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "an-admin-token-0123456789"
UPSTREAM_KEY = "sk-upstream-canary-0123456789"
SPARE_KEY = "sk-upstream-spare-0123456789"
NOWHERE = "http://127.0.0.1:1/v1"
PRICE: dict[str, Any] = {"input": 2.5, "cached_input": 0.25, "output": 10.0}
HEARD = PRICE | {"input_audio": 40.0}
SOUGHT = PRICE | {"search": 0.001, "services": {"priority": {"input": 5.0, "output": 20.0}}}
SMALL_PRICE: dict[str, Any] = {"input": 0.15, "cached_input": 0.075, "output": 0.6}

RENTED = {"usd_per_hour": 0.6, "tokens_per_s": 400, "prefill_tokens_per_s": 4000, "utilisation": "50%"}
OWNED = {
    "owned": {"price": 9000, "residual": 900, "life": "3y", "watts": 350, "pue": 1.3, "usd_per_kwh": 0.2},
    "tokens_per_s": 300,
    "utilisation": "30%",
}
# Owners by team: the org, and what the team may spend a day if the run takes a minute. `trial` is over its budget half
# way, `research` gets near.
TEAMS: dict[str, tuple[str, float | None]] = {
    "search": ("acme", 0.5),
    "research": ("acme", 0.019),
    "support": ("open", None),
    "trial": ("visitor", 0.00025),
}
ORGS: dict[str, dict[str, Any]] = {
    "acme": {"limits": [{"cost": "500 USD/month"}]},
    "visitor": {"limits": [{"cost": "1 USD/day"}]},
    "open": {},
}
KEYS = {
    "search-app": "search",
    "search-batch": "search",
    "notebook": "research",
    "helpdesk": "support",
    "demo": "trial",
    "eager": "support",
    "crowded": "support",
    "bulk": "search",
}
LIMITED = {"eager": {"requests": "12/min"}, "crowded": {"concurrent": 1}, "bulk": {"tokens": "1200/min"}}


def secret_of(key: str) -> str:
    return f"sk-observed-{key}-0123456789"


def everything(url: str, model: Path, otlp: str, minutes: float) -> dict[str, Any]:
    """One process with all that there is; `model` is the GGUF of its bundled engine, `otlp` a collector."""
    made: dict[str, Any] = {
        "providers": _providers(url),
        "deployments": _deployments(),
        "routes": _routes(),
        "prices": {"unknown": "auto"},
        "telemetry": {"otlp": {"endpoint": otlp, "sample": 1.0}},
        **_owners(minutes),
    }
    if is_installed(LLAMA):
        _add_engine(made, model)
    return made


def crew(url: str, state_url: str, minutes: float) -> dict[str, Any]:
    """Two workers behind one port."""
    return {
        "server": {"workers": 2},
        "state": {"url": state_url},
        "providers": {"acme": {"kind": "openai", "base_url": url, "api_key": UPSTREAM_KEY}},
        "deployments": {"sturdy": _of("acme", "sturdy-1", PRICE), "busy": _of("acme", "busy-1", SMALL_PRICE)},
        "routes": [
            {"model": "smart", "targets": ["sturdy"]},
            {
                "model": "busy",
                "targets": ["busy"],
                "fallbacks": ["sturdy"],
                "retry": {"attempts": 2, "max_wait": "1ms"},
            },
        ],
        **_owners(minutes),
    }


def _owners(minutes: float) -> dict[str, Any]:
    teams = {
        name: {"org": org} | ({} if usd is None else {"limits": {"cost": f"{usd * minutes:.6f} USD/day"}})
        for name, (org, usd) in TEAMS.items()
    }
    keys = [
        {"name": name, "secret": secret_of(name), "team": team, "tags": [f"app={name}"]}
        | ({"limits": LIMITED[name]} if name in LIMITED else {})
        for name, team in KEYS.items()
    ]
    limits = [{"per": "key", "requests": "3000/min", "tokens": "3M/min"}, {"per": "org", "requests": "9000/min"}]
    secrets = {"admin_token": TOKEN, "pepper": "a-pepper-of-thirty-two-characters"}
    return {"secrets": secrets, "orgs": ORGS, "teams": teams, "keys": keys, "limits": limits}


def _providers(url: str) -> dict[str, Any]:
    two = [{"name": "main", "key": UPSTREAM_KEY, "weight": 3}, {"name": "spare", "key": SPARE_KEY}]
    asked = {"interval": "2s", "always": True}
    impatient = {"failures": 3, "cooldown": "2s", "max_cooldown": "4s", "credential_cooldown": "3s"}
    return {
        "acme": {"kind": "openai", "base_url": url, "api_keys": two, "breaker": impatient, "discount": "10%"},
        "broker": {"kind": "openai", "base_url": url, "api_key": UPSTREAM_KEY, "margin": "5%", "health": asked},
        "murmur": {"kind": "openai", "base_url": url, "api_key": UPSTREAM_KEY},
        "gpu-box": {"kind": "openai", "base_url": url, "api_key": "none"},
        "nowhere": {"kind": "openai", "base_url": NOWHERE, "api_key": "none", "breaker": impatient},
    }


def _of(provider: str, model: str, price: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    made = {"provider": provider, "model": model, "max_output_tokens": 64} | more
    return made | ({"price": price} if price is not None else {})


def _deployments() -> dict[str, Any]:
    return {
        "swift": _of("acme", "swift-1", SMALL_PRICE),
        "sturdy": _of("acme", "sturdy-1", PRICE),
        "spare": _of("broker", "spare-1", PRICE, supports=["prefill"]),
        "thinker": _of("acme", "thinker-1", PRICE),
        "listener": _of("acme", "listener-1", HEARD),
        "seeker": _of("acme", "seeker-1", SOUGHT),
        "broker": _of("broker", "broker-1", SMALL_PRICE),
        "busy": _of("acme", "busy-1", SMALL_PRICE),
        "shaky": _of("acme", "shaky-1", SMALL_PRICE, breaker={"failures": 1000, "failure_share": "100%"}),
        "mute": _of("murmur", "mute-1", SMALL_PRICE),
        "late": _of("acme", "late-1", SMALL_PRICE),
        "stuck": _of("broker", "stuck-1", SMALL_PRICE, breaker={"failures": 1000, "failure_share": "100%"}),
        "mystery": _of("broker", "mystery-1", None),
        "rented": _of("gpu-box", "gpu-1", None, gpu=RENTED),
        "vectors": _of("acme", "vectors-1", {"input": 0.02, "output": 0}),
        "wordy": _of("acme", "wordy-1", PRICE, max_output_tokens=4096),
        "gone": _of("nowhere", "gone-1", SMALL_PRICE),
    }


def _routes() -> list[dict[str, Any]]:
    twice = {"attempts": 2, "max_wait": "1ms"}
    once = {"attempts": 1}
    cache: dict[str, Any] = {"exact": {"ttl": "1h", "near": True}, "share": "all"}
    if is_installed(SEMANTIC):
        cache["semantic"] = {"max_false_hits": "20%", "shadow": {"share": "60%"}}
    return [
        {"model": "smart", "targets": ["swift"], "fallbacks": ["sturdy"], "retry": twice},
        {"model": "thinking", "targets": ["thinker"], "fallbacks": ["sturdy"], "retry": once},
        {"model": "audio", "targets": ["listener"]},
        {"model": "search", "targets": ["seeker"]},
        {"model": "broker", "targets": ["broker"], "fallbacks": ["sturdy"], "retry": once},
        {"model": "busy", "targets": ["busy"], "fallbacks": ["sturdy"], "retry": twice},
        {"model": "shaky", "targets": ["shaky"], "retry": once},
        {"model": "resumed", "targets": ["shaky"], "fallbacks": ["spare"], "retry": once, "resume": ["prefill"]},
        {"model": "mute", "targets": ["mute"]},
        {"model": "hedged", "targets": ["late"], "fallbacks": ["spare"], "hedge": {"after": "150ms", "at_most": "90%"}},
        {"model": "stuck", "targets": ["stuck"], "retry": once, "timeouts": {"total": "1s"}},
        {"model": "mystery", "targets": ["mystery"]},
        {"model": "lucky", "targets": ["gone"], "fallbacks": ["sturdy"], "retry": once},
        {"model": "hopeless", "targets": ["gone"], "retry": once},
        {"model": "faq", "targets": ["sturdy"], "cache": cache},
        {
            "model": "patient",
            "targets": ["swift"],
            "fallbacks": ["sturdy"],
            "limits": {"requests": "1/s"},
            "queue": {"max_wait": "2s", "max_size": 4},
        },
        {"model": "rented", "targets": ["rented"]},
        {"model": "vectors", "targets": ["vectors"]},
        {"model": "wordy", "targets": ["wordy"]},
    ]


def _add_engine(made: dict[str, Any], model: Path) -> None:
    made["providers"]["engine"] = {
        "kind": "llama_cpp", "model_path": str(model), "slots": 2, "context_tokens": 512, "threads": 1, "gpu_layers": 0,
        "warm_up": False, "speculate": False, "gpu": OWNED,
    }  # fmt: skip
    made["deployments"]["local"] = {"provider": "engine", "model": "tiny", "max_output_tokens": 48}
    made["routes"].append({"model": "local", "targets": ["local"]})
