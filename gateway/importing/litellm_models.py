"""An entry of LiteLLM's `model_list` as a provider and a deployment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from gateway.importing.sections import Notes, Section, is_reference, name_of, reference, variable
from gateway.litellm.names import is_setting

# Servers that speak OpenAI's API where LiteLLM has a word of its own for them.
OPENAI_LIKE: Final = frozenset(
    {
        "openai",
        "custom_openai",
        "docker_model_runner",
        "hosted_vllm",
        "litellm_proxy",
        "llamafile",
        "lm_studio",
        "openai_like",
        "text-completion-openai",
        "vllm",
        "xinference",
    }
)
OPENAI: Final = "https://api.openai.com/v1"
OPENAI_KEY: Final = "OPENAI_API_KEY"
# LiteLLM guesses who serves a model without a prefix by its name; these are the guesses that are safe to repeat.
BY_NAME: Final = (
    (("gpt-", "o1", "o3", "o4", "text-embedding-", "chatgpt-", "ft:gpt-"), "openai"),
    (("claude-",), "anthropic"),
    (("gemini-",), "gemini"),
    (("command-",), "cohere"),
)
SUPPORTS: Final = {
    "supports_function_calling": "tools",
    "supports_vision": "images",
    "supports_audio_input": "audio",
    "supports_pdf_input": "files",
    "supports_response_schema": "json_schema",
    "supports_reasoning": "reasoning",
    "supports_assistant_prefill": "prefill",
}
PRICES: Final = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_token": "output",
}
WINDOWS: Final = {"1d": "day", "24h": "day", "7d": "week", "1w": "week", "30d": "month", "1mo": "month"}
HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
SECRET: Final = re.compile(r"secret|token|password|credentials|key|auth", re.IGNORECASE)
WEIGHT_MAX: Final = 1_000_000
PARAMS: Final = {
    "temperature": "is a default of the request; callers send their own",
    "tags": "is LiteLLM's tag routing; write a `when` on the route",
    "max_retries": "is set per route, as retry.attempts",
    "num_retries": "is set per route, as retry.attempts",
    "cache_control_injection_points": "prompts are not rewritten",
    "mock_response": "answers are not made up",
}
INFO: Final = dict.fromkeys(
    ("version", "db_model", "created_at", "created_by", "updated_at", "updated_by"), "is LiteLLM's own bookkeeping"
)


@dataclass(slots=True)
class Model:
    """One entry: the deployment it became, and what its route needs of it."""

    group: str
    deployment: str
    order: int = 0
    weight: int = 1
    timeout_s: float | None = None
    first_token_s: float | None = None


@dataclass(slots=True)
class Tables:
    """The policy's providers and deployments as they grow, and by which id LiteLLM knows a deployment.

    `spoken_for` are environment variables that hold something else already: no secret of the file goes into them.
    """

    spoken_for: frozenset[str] = frozenset()

    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_id: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)  # of each secret that stood in the file


def read_model(entry: Section, tables: Tables) -> Model | None:
    """None where the entry has no counterpart, which its notes tell."""
    group, params, info = entry.text("model_name"), entry.inner("litellm_params"), entry.inner("model_info")
    written = params.text("model") if params.keys() else group  # an entry of a name alone means the model of that name
    if group is None or written is None:
        entry.notes.add(entry.where, "names no model and was left out")
        return None
    maker, model = maker_of(written, params)
    if "*" in written or "*" in group:
        entry.notes.add(entry.where, f"passes any model of {maker or 'a provider'} on; name those that may be used")
        return None
    if maker is None:
        entry.notes.add(f"{params.where}.model", f"{written!r} does not say whose it is; write PROVIDER/{written}")
        return None
    provider = _provider(maker, params, tables)
    known_as = info.text("id")
    name = name_of(group if group not in tables.deployments else f"{group}-{provider}", tables.deployments)
    if known_as is not None:
        tables.by_id[known_as] = name
    by_openai = tables.providers[provider]["kind"] == "openai"
    made = tables.deployments[name] = {"provider": provider, "model": model if by_openai else f"{maker}/{model}"}
    found = Model(group, name)
    _facts(made, params, info)
    _limits(made, found, entry, params)
    found.timeout_s, found.first_token_s = params.number("timeout"), params.number("stream_timeout")
    params.leave(PARAMS)
    info.leave(INFO)
    entry.leave({})
    return found


def maker_of(written: str, params: Section) -> tuple[str | None, str]:
    """Who serves a model as LiteLLM writes it, in LiteLLM's word, and the model's name there."""
    said = params.text("custom_llm_provider")
    maker, slash, model = written.partition("/")
    if said is not None:
        return said, model if slash and maker == said else written
    if slash:
        return maker, model
    for beginnings, guessed in BY_NAME:
        if written.startswith(beginnings):
            return guessed, written
    return None, written


def keyless_variable(entry: object) -> str | None:
    """The environment variable that an entry without a key of its own is served with; None for one that needs none."""
    section = Section("", entry, Notes())
    group, params = section.text("model_name"), section.inner("litellm_params")
    written = params.text("model") if params.keys() else group
    maker = None if written is None else maker_of(written, params)[0]
    if maker is None or params.peek("api_key") is not None:
        return None
    if maker not in OPENAI_LIKE:
        return variable(maker, "api_key")
    return None if params.peek("api_base") or params.peek("base_url") else OPENAI_KEY


def _provider(maker: str, params: Section, tables: Tables) -> str:
    """The name of the provider that this entry is served by, made where there is none like it."""
    base_url = params.text("api_base") or params.text("base_url")
    made: dict[str, Any] = {"kind": "openai" if maker in OPENAI_LIKE else "litellm"}
    if made["kind"] == "openai":
        made["base_url"] = (base_url or OPENAI).rstrip("/")
        default = f"${{env:{OPENAI_KEY}}}" if base_url is None else "none"
        made["api_key"] = _secret(params, "api_key", maker, tables) or default
        headers = dict(_headers(params, maker, tables))
        if headers:
            made["headers"] = headers
    else:
        if base_url is not None:
            made["base_url"] = base_url.rstrip("/")
        if (key := _secret(params, "api_key", maker, tables)) is not None:
            made["api_key"] = key
        if settings := _settings(params, maker, tables):
            made["settings"] = settings
    for name, other in tables.providers.items():
        if other == made:
            return name
    name = name_of(maker, tables.providers)
    tables.providers[name] = made
    return name


def _secret(params: Section, key: str, maker: str, tables: Tables) -> str | None:
    """A reference to a secret. One that stands in the file is not copied, but asked for by a name of its own."""
    found = params.text(key)
    if found is None or found.lower() in ("none", "null", "dummy", "fake-key", "anything"):
        return None if found is None else "none"
    return (
        found if is_reference(found) else _moved(params, f"{params.where}.{key}", variable(maker, key), found, tables)
    )


def _moved(params: Section, where: str, wanted: str, secret: str, tables: Tables) -> str:
    """A reference to the environment variable that this secret goes into; the same secret goes into one only."""
    kept = tables.variables.get(secret)
    if kept is None:
        used = tables.spoken_for.union(tables.variables.values())
        kept, number = wanted, 2
        while kept in used:
            kept, number = f"{wanted}_{number}", number + 1
        tables.variables[secret] = kept
    params.notes.add(where, f"stands in the file; put it into the environment variable {kept}")
    return f"${{env:{kept}}}"


def _headers(params: Section, maker: str, tables: Tables) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    organization = params.take("organization")
    if isinstance(organization, list):
        params.notes.add(f"{params.where}.organization", "is a list; make a provider of each")
    elif organization is not None:
        found.append(("openai-organization", reference(str(organization))))
    extra = params.take("extra_headers")
    for name, value in (extra if isinstance(extra, dict) else {}).items():
        where, written = f"{params.where}.extra_headers.{name}", reference(str(value))
        if not HEADER.fullmatch(str(name)):
            params.notes.add(where, "is no header's name and was left out")
            continue
        if not is_reference(written) and SECRET.search(str(name)):
            written = _moved(params, where, variable(maker, str(name)), written, tables)
        found.append((str(name), written))
    return found


def _settings(params: Section, maker: str, tables: Tables) -> dict[str, str]:
    """What LiteLLM hands on to one provider: where, and how to sign in."""
    found = {}
    for key in list(params.keys()):
        if not is_setting(key) or key == "region_name":
            continue
        value = _secret(params, key, maker, tables) if SECRET.search(key) else params.text(key)
        if value is not None:
            found[key] = value
    return found


def _facts(made: dict[str, Any], params: Section, info: Section) -> None:
    """What is known of the model: region, size, price, what it can do."""
    stated = {
        "region": params.text("region_name"),
        "context_tokens": info.count("max_input_tokens"),
        "max_output_tokens": params.count("max_tokens"),
    }
    made |= {word: value for word, value in stated.items() if value is not None}
    price = _price(params, info)
    if "input" in price:
        made["price"] = price
    elif price:
        params.notes.add(f"{params.where}.input_cost_per_token", "is missing, so the other prices were left out")
    said = {ours: info.take(theirs) for theirs, ours in SUPPORTS.items()}
    for word, answer in (("supports", True), ("lacks", False)):
        if can := [ours for ours, found in said.items() if found is answer]:
            made[word] = can
    info.take("mode")


def _price(params: Section, info: Section) -> dict[str, float]:
    found = {}
    for theirs, ours in PRICES.items():
        own, known = params.take(theirs), info.take(theirs)
        stated = known if own is None else own
        if isinstance(stated, int | float) and not isinstance(stated, bool) and stated >= 0:
            found[ours] = per_million(stated)
    return found


def per_million(per_token: float) -> float:
    """USD per million tokens, without the digits that floating point adds."""
    exact = Decimal(str(per_token)) * 1_000_000
    return float(round(exact, 9))


def _limits(made: dict[str, Any], found: Model, entry: Section, params: Section) -> None:
    """Rates per minute, which LiteLLM also picks by."""
    limits: dict[str, Any] = {}
    for theirs, ours in (("tpm", "tokens"), ("rpm", "requests")):
        inside, beside = params.count(theirs), entry.count(theirs)
        if rate := inside or beside:
            limits[ours] = f"{rate}/min"
            found.weight = min(WEIGHT_MAX, rate)
    if together := params.count("max_parallel_requests"):
        limits["concurrent"] = together
    if cost := _budget(params):
        limits["cost"] = cost
    if limits:
        made["limits"] = limits
    if weight := params.number("weight"):
        found.weight = max(1, round(weight * 100 if weight < 1 else weight))
    found.order = params.count("order") or 0


def _budget(params: Section) -> str | None:
    budget, duration = params.number("max_budget"), params.take("budget_duration")
    if budget is None:
        return None
    window = WINDOWS.get(str(duration))
    if window is None:
        params.notes.add(f"{params.where}.max_budget", "has a window that is no day, week or month and was left out")
        return None
    return f"{budget:g} USD/{window}"
