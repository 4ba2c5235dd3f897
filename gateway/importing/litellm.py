"""A LiteLLM proxy's configuration as a policy.

Model groups become routes, entries of `model_list` deployments, and whatever an entry is reached by a provider. Secrets
are never copied: one that stands in the file becomes a reference, and a note says where to put it. Settings that mean
nothing here are told, each by its path, so that nobody finds out in production.
Source: LiteLLM's documentation of config.yaml, its settings and its fallbacks (read 2026-11).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gateway.importing.litellm_models import Model, Tables, keyless_variable, read_model
from gateway.importing.litellm_routes import Wishes, routes_of
from gateway.importing.sections import NO_COUNTERPART, Note, Notes, Section, is_reference, variables_in

STRATEGIES: Final = {
    "simple-shuffle": "weighted",
    "least-busy": "least_busy",
    "latency-based-routing": "fastest",
    "cost-based-routing": "cheapest",
    "usage-based-routing": "least_busy",
    "usage-based-routing-v2": "least_busy",
}
_OWN: Final = "is done in every case"
REASONS: Final = {
    "enable_pre_call_checks": f"{_OWN}: what a model cannot do is never asked of it",
    "drop_params": "is not done: members that a provider does not know are its own to refuse",
    "cache": "caches are not available in this version",
    "cache_params": "caches are not available in this version",
    "callbacks": "metrics are at /metrics and traces go to telemetry.otlp",
    "success_callback": "metrics are at /metrics and traces go to telemetry.otlp",
    "failure_callback": "metrics are at /metrics and traces go to telemetry.otlp",
    "service_callback": "metrics are at /metrics",
    "json_logs": f"{_OWN}: see telemetry.log",
    "set_verbose": "is a matter of telemetry.log",
    "retry_policy": "is decided by what failed, the same way everywhere",
    "allowed_fails_policy": "is decided by what failed, the same way everywhere",
    "disable_cooldowns": "cannot be turned off; breakers never set the last deployment aside",
    "enable_tag_filtering": "is written as a `when` on the route",
    "alerting": "is done by the rules in dashboards/",
    "store_model_in_db": "the policy file is the one place for models",
    "disable_budget_reservation": "budgets are always reserved",
    "fail_closed_budget_enforcement": f"{_OWN}: see state.when_down",
    "enforce_fallback_budget": f"{_OWN}: a call reserves for the dearest of its candidates",
    "disable_retry_on_max_parallel_request_limit_error": f"{_OWN}: own limits are never retried",
    "background_health_checks": "is written as `health` on a deployment",
    "health_check_interval": "is written as `health` on a deployment",
    "include_cost_in_streaming_usage": "costs are in the ledger, not in answers",
    "custom_auth": "keys are virtual keys; others cannot be plugged in",
    "max_budget": "write it as a limit: limits: [{per: org, cost: ...}]",
    "budget_duration": "write it as a limit: limits: [{per: org, cost: ...}]",
    "coordination_redis": "write it as state.url",
}


class Imported(NamedTuple):
    """`policy` is ready to be written as YAML."""

    policy: dict[str, Any]
    notes: tuple[Note, ...]


def import_litellm(values: object) -> Imported:
    """Raises `ValueError` for what is no such configuration."""
    notes = Notes()
    top = Section("config", values, notes)
    entries = top.take("model_list")
    if not isinstance(entries, list) or not entries:
        raise ValueError("there is no model_list in it")
    keyless = frozenset(filter(None, map(keyless_variable, entries)))
    tables, models = Tables(variables_in(values) | keyless), list[Model]()
    for number, entry in enumerate(entries):
        found = read_model(Section(f"model_list[{number}]", entry, notes), tables)
        if found is not None:
            models.append(found)
    if not models:
        raise ValueError("none of its models has a counterpart: " + "; ".join(map(str, notes.all())))
    router, module = _section(top, "router_settings", notes), _section(top, "litellm_settings", notes)
    general = _section(top, "general_settings", notes)
    policy: dict[str, Any] = {"version": 1}
    _server(policy, general, router, module)
    wishes = _wishes(router, module)
    policy |= {"providers": tables.providers, "deployments": tables.deployments}
    policy["routes"] = routes_of(models, wishes, tables, notes)
    _breakers(tables, router, module)
    _keys(policy, general)
    variables = top.take("environment_variables")
    for name in variables if isinstance(variables, dict) else {}:
        notes.add(f"environment_variables.{name}", "set it in the environment of the gateway")
    for section in (router, module, general):
        section.leave(REASONS)
    top.leave({})
    return Imported(policy, notes.all())


def _section(top: Section, key: str, notes: Notes) -> Section:
    return Section(key, top.take(key), notes)


def _wishes(router: Section, module: Section) -> Wishes:
    """What holds for every route. Where both sections say something, the router's word counts, as it does there."""
    strategy = router.text("routing_strategy") or "simple-shuffle"
    if strategy not in STRATEGIES:
        router.notes.add("router_settings.routing_strategy", f"{strategy} {NO_COUNTERPART}; weighted instead")
    elif strategy.startswith("usage-based"):
        router.notes.add("router_settings.routing_strategy", f"{strategy} is nearest to least_busy")
    if strategy != "simple-shuffle":
        router.take("routing_strategy_args")
    retries = _either(router, module, "num_retries")
    own_s, general_s = router.number("timeout"), module.number("request_timeout")
    return Wishes(
        strategy=STRATEGIES.get(strategy, "weighted"),
        attempts=None if retries is None else min(6, int(retries) + 1),
        total_s=own_s or general_s,
        first_token_s=router.number("stream_timeout"),
        fallbacks=_table(router, module, "fallbacks"),
        context_fallbacks=_table(router, module, "context_window_fallbacks"),
        content_fallbacks=_table(router, module, "content_policy_fallbacks"),
        default_fallbacks=_default_fallbacks(router, module),
        aliases=_aliases(router),
    )


def _default_fallbacks(router: Section, module: Section) -> list[str]:
    found, other = router.names("default_fallbacks"), module.names("default_fallbacks")
    return found or other


def _either(router: Section, module: Section, key: str) -> float | None:
    found, other = router.take(key), module.take(key)
    value = other if found is None else found
    return float(value) if isinstance(value, int | float) and value >= 0 else None


def _table(router: Section, module: Section, key: str) -> dict[str, list[str]]:
    """LiteLLM's list of one-key maps as one map."""
    found: dict[str, list[str]] = {}
    for section in (module, router):
        listed = section.take(key)
        for item in listed if isinstance(listed, list) else []:
            for group, names in (item if isinstance(item, dict) else {}).items():
                several = names if isinstance(names, list) else [names]
                found[str(group)] = [name for name in several if isinstance(name, str)]
                if len(found[str(group)]) < len(several):
                    where = f"{section.where}.{key}.{group}"
                    section.notes.add(where, "changes the request for a fallback, which is not done")
    return found


def _aliases(router: Section) -> dict[str, str]:
    found = router.take("model_group_alias")
    aliases = {}
    for alias, group in (found if isinstance(found, dict) else {}).items():
        hidden = isinstance(group, dict)
        aliases[str(alias)] = str(group.get("model") if hidden else group)
        if hidden and group.get("hidden"):
            router.notes.add(f"router_settings.model_group_alias.{alias}", "is listed at /v1/models all the same")
    return aliases


def _breakers(tables: Tables, router: Section, module: Section) -> None:
    fails, cooldown_s = _either(router, module, "allowed_fails"), _either(router, module, "cooldown_time")
    breaker: dict[str, Any] = {}
    if fails is not None:
        breaker["failures"] = max(1, int(fails) + 1)
        router.notes.add("allowed_fails", "counts failures in a minute there, failures in a row here")
    if cooldown_s:
        breaker["cooldown"] = f"{cooldown_s:g}s"
    if breaker:
        for deployment in tables.deployments.values():
            deployment["breaker"] = breaker.copy()


def _server(policy: dict[str, Any], general: Section, router: Section, module: Section) -> None:
    if (database := general.text("database_url")) is not None:
        policy["ledger"] = {"url": database if is_reference(database) else "${env:DATABASE_URL}"}
        if not is_reference(database):
            general.notes.add("general_settings.database_url", "stands in the file; put it into DATABASE_URL")
        general.notes.add("general_settings.database_url", "wants a database of its own: LiteLLM's tables are not read")
    host = router.text("redis_host")
    port, password = router.text("redis_port") or "6379", router.text("redis_password")
    if host is not None:
        policy["state"] = {"url": f"redis://{host}:{port}/0"}
        if password is not None:
            router.notes.add("router_settings.redis_password", "put the whole URL, with it, into REDIS_URL")
            policy["state"] = {"url": "${env:REDIS_URL}"}
    if (workers := general.count("num_workers")) is not None:
        policy["server"] = {"workers": workers}
    module.take("telemetry")


def _keys(policy: dict[str, Any], general: Section) -> None:
    """LiteLLM's master key calls models and administers; here these are two secrets."""
    master = general.text("master_key")
    if master is None:
        return
    secret = master if is_reference(master) else "${env:LITELLM_MASTER_KEY}"
    if not is_reference(master):
        general.notes.add("general_settings.master_key", "stands in the file; put it into LITELLM_MASTER_KEY")
    general.notes.add(
        "general_settings.master_key",
        "calls models as the key named master; administration has a token of its own, POINTSMAN_ADMIN_TOKEN."
        " Each has 20 characters or more",
    )
    policy["secrets"] = {"admin_token": "${env:POINTSMAN_ADMIN_TOKEN}"}
    policy["keys"] = [{"name": "master", "secret": secret}]
