"""Alerts on the service itself: gateways, workers, providers and deployments."""

from __future__ import annotations

from typing import Final

from dashboards.alerting.values import Alert, Group, Severity, above, promql
from dashboards.slo import PROVIDER_FAILS

LEAST_PER_S: Final = 0.1
"""Below so many per second a share is a matter of single calls."""
_OVERVIEW: Final = "pointsman-overview"
_MODELS: Final = "pointsman-models"
_ATTEMPTS: Final = "sum by (job, provider) (rate(pointsman_upstream_attempts_total[5m]))"
_FAILED: Final = f'sum by (job, provider) (rate(pointsman_upstream_attempts_total{{outcome=~"{PROVIDER_FAILS}"}}[5m]))'

GATEWAY: Final = Group(
    "pointsman-gateway",
    "Gateways and their workers.",
    (
        Alert(
            "PointsmanMetricsDown",
            promql("""
                up == 0 and on (job, instance) last_over_time(pointsman_build_info[6h])
                or
                absent(up and on (job, instance) last_over_time(pointsman_build_info[6h]))
            """),
            "2m",
            Severity.PAGE,
            "Prometheus cannot scrape {{ if $labels.instance }}{{ $labels.instance }}{{ else }}any gateway{{ end }}.",
            "The gateway is down, or its admin listener cannot be reached. While nothing is scraped no other alert "
            "can fire.",
            _OVERVIEW,
            "Scrapes lost",
        ),
        Alert(
            "PointsmanWorkerDown",
            "min by (job, instance, worker) (pointsman_worker_up) == 0",
            "1m",
            Severity.PAGE,
            "Worker {{ $labels.worker }} of {{ $labels.instance }} is dead or stalls.",
            "It has told no numbers for too long. Calls that it holds hang; the other workers take the new ones.",
            _OVERVIEW,
            "Workers",
        ),
        Alert(
            "PointsmanWorkerCrashLoop",
            "sum by (job, instance) (increase(pointsman_worker_restarts_total[15m])) > 3",
            "0m",
            Severity.PAGE,
            "Workers of {{ $labels.instance }} die again and again.",
            "{{ $value | humanize }} were started anew within 15 minutes.",
            _OVERVIEW,
            "Worker restarts",
        ),
        Alert(
            "PointsmanEventLoopLag",
            promql("""
                histogram_quantile(
                  0.99, sum by (job, instance, worker, le) (rate(pointsman_event_loop_lag_seconds_bucket[5m]))
                ) > 0.1
            """),
            "10m",
            Severity.TICKET,
            "Worker {{ $labels.worker }} of {{ $labels.instance }} is late by {{ $value | humanizeDuration }}.",
            "One of 100 times it gets to what it should do later than that: something blocks its event loop, or it "
            "has more calls than it can take.",
            _OVERVIEW,
            "Event-loop lag, p99",
        ),
        Alert(
            "PointsmanOverheadHigh",
            promql("""
                histogram_quantile(0.99, sum by (job, le) (rate(pointsman_overhead_seconds_bucket[10m]))) > 0.05
                and
                sum by (job) (rate(pointsman_overhead_seconds_count[10m])) > 0.1
            """),
            "10m",
            Severity.TICKET,
            "The gateway adds {{ $value | humanizeDuration }} to one of 100 requests.",
            "Fifty milliseconds are more than twice what is promised, and none of it is the providers'.",
            _OVERVIEW,
            "Gateway overhead",
        ),
        Alert(
            "PointsmanShedding",
            "max by (job, instance) (pointsman_shedding_ratio) > 0",
            "5m",
            Severity.PAGE,
            "{{ $labels.instance }} refuses {{ $value | humanizePercentage }} of requests at the door.",
            "It has more to do than it can, and callers of low priority are turned away so that the others are served.",
            _OVERVIEW,
            "Refused at the door",
        ),
        Alert(
            "PointsmanPolicySplit",
            "count by (job) (count by (job, hash) (pointsman_config_info)) > 1",
            "30m",
            Severity.TICKET,
            "Gateways of {{ $labels.job }} follow {{ $value }} different policies.",
            "A roll-out that takes so long got stuck, or a gateway refused to reload.",
            _OVERVIEW,
            "What runs where",
        ),
    ),
)
PROVIDERS: Final = Group(
    "pointsman-providers",
    "Providers, deployments and credentials.",
    (
        Alert(
            "PointsmanProviderDegraded",
            above(_FAILED, _ATTEMPTS, 0.2, LEAST_PER_S),
            "5m",
            Severity.TICKET,
            "Provider {{ $labels.provider }} fails {{ $value | humanizePercentage }} of attempts.",
            "Retries and fallbacks serve callers as long as there is somewhere else to go.",
            _MODELS,
            "Success by deployment",
        ),
        Alert(
            "PointsmanCircuitOpen",
            "max by (job, deployment) (pointsman_circuit_state) > 0",
            "10m",
            Severity.TICKET,
            "Deployment {{ $labels.deployment }} has been set aside for ten minutes.",
            "Its breaker is open or half open: probes keep failing. Its calls go elsewhere, or fail where there is "
            "no elsewhere.",
            _MODELS,
            "Breakers",
        ),
        Alert(
            "PointsmanAllDeploymentsDown",
            promql("""
                max by (job, model) (
                  pointsman_deployment_up
                  * on (job, instance, deployment) group_right ()
                  group by (job, instance, deployment, model) (pointsman_upstream_attempts_total)
                ) == 0
            """),
            "1m",
            Severity.PAGE,
            "No deployment of model {{ $labels.model }} can take calls.",
            "All of them are set aside. Routes that have nothing else answer 503.",
            _MODELS,
            "May be sent requests",
        ),
        Alert(
            "PointsmanCredentialRefused",
            "min by (job, deployment, credential) (pointsman_key_up) == 0",
            "5m",
            Severity.TICKET,
            "The provider refuses the credential {{ $labels.credential }} of {{ $labels.deployment }}.",
            "It is expired, revoked or out of funds. Other credentials of the deployment take its calls, if there "
            "are any.",
            _MODELS,
            "Credentials",
        ),
        Alert(
            "PointsmanFallbackStorm",
            above(
                "sum by (job) (rate(pointsman_fallbacks_total[10m]))",
                "sum by (job) (rate(pointsman_requests_total[10m]))",
                0.25,
                LEAST_PER_S,
            ),
            "10m",
            Severity.TICKET,
            "{{ $value | humanizePercentage }} of requests had to move to another deployment.",
            "Callers are served, but slower and maybe dearer, and the next failure will be seen.",
            _MODELS,
            "Where calls moved",
        ),
    ),
)
