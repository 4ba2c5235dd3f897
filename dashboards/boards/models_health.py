"""The models board's first rows: who fails, how, and what the gateway does about it."""

from __future__ import annotations

from typing import Final

from dashboards.building.promql import grown, part, rate
from dashboards.building.values import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Override,
    Panel,
    Query,
    Row,
    Show,
    State,
    board_link,
    up_to,
)
from dashboards.slo import PROVIDER_FAILS

ATTEMPTS: Final = "pointsman_upstream_attempts_total{**}"
FAILED: Final = f'pointsman_upstream_attempts_total{{**,outcome=~"{PROVIDER_FAILS}"}}'
_WHERE: Final = "provider, deployment"
_CALM: Final = "no attempt has failed"
_CIRCUIT: Final = (State(0, "closed", GREEN), State(1, "half open", YELLOW), State(2, "open", RED))
_TO_REQUESTS: Final = board_link(
    "pointsman-traces", "Requests of this deployment, in the log", "var-deployment=${__data.fields.Deployment}"
)
_TO_COST: Final = board_link("pointsman-cost", "What this model costs", "var-model=${__data.fields.Model}")
_NOW: Final = Row(
    "Who fails?",
    (
        Panel(
            Show.TABLE,
            "Deployments",
            "Every deployment that was called over the time shown: how many attempts it answered, how many it "
            "failed or refused for too many requests (429), and whether its breaker lets calls through now.",
            "short",
            (
                Query(grown(ATTEMPTS, "deployment, provider, model"), instant=True),
                Query(
                    part(
                        grown('pointsman_upstream_attempts_total{**,outcome="ok"}', "deployment, provider, model"),
                        grown(ATTEMPTS, "deployment, provider, model"),
                    ),
                    instant=True,
                ),
                Query(
                    part(grown(FAILED, "deployment, provider, model"), grown(ATTEMPTS, "deployment, provider, model")),
                    instant=True,
                ),
                Query(
                    part(
                        grown(
                            'pointsman_upstream_attempts_total{**,outcome="rate_limited"}',
                            "deployment, provider, model",
                        ),
                        grown(ATTEMPTS, "deployment, provider, model"),
                    ),
                    instant=True,
                ),
                Query("max by (deployment) (pointsman_circuit_state{**})", instant=True),
            ),
            width=24,
            height=8,
            columns=(
                Column("deployment", "Deployment", links=(_TO_REQUESTS,)),
                Column("provider", "Provider"),
                Column("model", "Model", links=(_TO_COST,)),
                Column("Value #A", "Attempts", unit="short", decimals=0, bar=True),
                Column(
                    "Value #B",
                    "Answered",
                    unit="percentunit",
                    decimals=1,
                    steps=up_to((0.9, YELLOW), (0.98, GREEN), first=RED),
                ),
                Column("Value #C", "Failed", unit="percentunit", decimals=1, steps=up_to((0.02, YELLOW), (0.2, RED))),
                Column("Value #D", "429", unit="percentunit", decimals=1, steps=up_to((0.01, YELLOW), (0.1, ORANGE))),
                Column(
                    "Value #E",
                    "Breaker (0 closed, 2 open)",
                    unit="short",
                    decimals=0,
                    steps=up_to((1, YELLOW), (2, RED)),
                ),
            ),
            sort_by="Attempts",
        ),
        Panel(
            Show.GRAPH,
            "Success by deployment",
            "Share of attempts that ended well. One that falls alone is that deployment; all of one provider "
            "together are the provider; all of all are us or the network.",
            "percentunit",
            (
                Query(
                    part(
                        rate('pointsman_upstream_attempts_total{**,outcome="ok"}', _WHERE),
                        rate(ATTEMPTS, _WHERE),
                    ),
                    "{{provider}} / {{deployment}}",
                ),
            ),
            most=1,
            calcs=("min", "mean"),
        ),
        Panel(
            Show.GRAPH,
            "Attempts by outcome",
            "How attempts end, whatever became of the request. `status` is an error status, `rate_limited` a 429.",
            "cps",
            (Query(rate(ATTEMPTS, "outcome"), "{{outcome}}"),),
            stacked=True,
            overrides=(
                Override("ok", GREEN),
                Override("rate_limited", YELLOW),
                Override("status|connect|reset|bad_response|truncated|in_band", RED),
                Override(".*_timeout", ORANGE),
                Override("client_cancelled|hedge_lost|refused", GREY),
            ),
        ),
        Panel(
            Show.GRAPH,
            "Refused for too many requests (429)",
            "Share of attempts that a provider refuses for its own rate limit. Ask it for more, add a credential, "
            "or set a limit on the deployment so that calls move on unasked.",
            "percentunit",
            (
                Query(
                    part(
                        rate('pointsman_upstream_attempts_total{**,outcome="rate_limited"}', _WHERE),
                        rate(ATTEMPTS, _WHERE),
                    ),
                    "{{provider}} / {{deployment}}",
                ),
            ),
            steps=up_to((0.1, ORANGE)),
            steps_shown=True,
        ),
    ),
)
_DONE: Final = Row(
    "What does the gateway do about it?",
    (
        Panel(
            Show.STATES,
            "Breakers",
            "Whether calls may go to each deployment. Open: it has failed too often and is set aside; half open: "
            "one call at a time finds out whether it is well.",
            "none",
            (Query("max by (deployment) (pointsman_circuit_state{**})", "{{deployment}}"),),
            width=12,
            states=_CIRCUIT,
            steps=up_to((1, YELLOW), (2, RED)),
        ),
        Panel(
            Show.STATES,
            "Credentials",
            "Whether each key is taken by its provider. A refused one is expired, revoked or out of funds.",
            "none",
            (
                Query(
                    "min by (deployment, credential) (pointsman_key_up{**})",
                    "{{deployment}} {{credential}}",
                ),
            ),
            width=12,
            states=(State(1, "taken", GREEN), State(0, "refused", RED)),
            steps=up_to((1, GREEN), first=RED),
        ),
        Panel(
            Show.STATES,
            "Breakers by credential",
            "The breaker of each deployment under each of its named credentials: one that is open alone is that key's.",
            "none",
            (
                Query(
                    "max by (deployment, credential) (pointsman_credential_circuit_state{**})",
                    "{{deployment}} {{credential}}",
                    empty="no deployment has several credentials",
                ),
            ),
            width=24,
            height=5,
            states=_CIRCUIT,
            steps=up_to((1, YELLOW), (2, RED)),
        ),
        Panel(
            Show.TABLE,
            "Where calls moved",
            "Requests that moved from one deployment to another over the time shown, and why.",
            "short",
            (
                Query(
                    f"{grown('pointsman_fallbacks_total{*}', 'from_deployment, to_deployment, reason')} > 0",
                    instant=True,
                    empty="no request had to move",
                ),
            ),
            columns=(
                Column("from_deployment", "From"),
                Column("to_deployment", "To"),
                Column("reason", "Why"),
                Column("Value", "Requests", unit="short", decimals=0, bar=True),
            ),
            sort_by="Requests",
            none_text="no request had to move",
        ),
        Panel(
            Show.GRAPH,
            "Fallbacks and retries by reason",
            "Second tries per second: at the same deployment, and at another.",
            "cps",
            (
                Query(rate("pointsman_retries_total{**}", "reason"), "retry: {{reason}}", empty="no retry yet"),
                Query(rate("pointsman_fallbacks_total{*}", "reason"), "fallback: {{reason}}", empty="no fallback yet"),
                Query(
                    rate("pointsman_retries_refused_total{**}"),
                    "retry not made: budget spent",
                    empty="no retry was refused",
                ),
            ),
        ),
        Panel(
            Show.GRAPH,
            "Credentials refused",
            "Attempts per second that a provider refused for the credential's sake, and breakers of credentials "
            "that are not closed.",
            "cps",
            (
                Query(
                    rate("pointsman_credential_refused_total{**}", "provider, credential"),
                    "{{provider}} {{credential}}",
                    empty="no credential was refused",
                ),
                Query(
                    "count by (provider) (pointsman_credential_state{**} > 0)",
                    "{{provider}}: set aside",
                    empty="all credentials are in use",
                ),
            ),
            overrides=(Override(".*: set aside", RED, right_unit="short"),),
        ),
    ),
)
ROWS: Final = (_NOW, _DONE)
