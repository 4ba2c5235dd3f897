"""The shape of `telemetry.metrics`: how many series there may be, what is told besides, and where it is sent."""

from pydantic import Field

from gateway.config.fields import Duration, Flag, Headers, Shape, Url, Whole, no_entries
from gateway.signals.metrics import SERIES_MAX


class MetricsExportSettings(Shape):
    """Where metrics are sent, beside being there for scrapes."""

    endpoint: Url = Field(description="OTLP over HTTP; /v1/metrics is appended.")
    headers: Headers = Field(default_factory=no_entries, description="Sent with every export, e.g. a token.")
    every_s: Duration = Field(default=15.0, ge=1, alias="every", description="How often.")


class MetricsSettings(Shape):
    """The metrics of the operators' listener."""

    series_max: Whole = Field(
        default=SERIES_MAX,
        ge=1_000,
        le=1_000_000,
        alias="max_series",
        description="Time series at most; what is new beyond them goes to `__other__` and is counted.",
    )
    key_budgets: Flag = Field(default=False, description="Show budgets of keys and users, too: one series for each.")
    otlp: MetricsExportSettings | None = Field(default=None, description="Send metrics to a collector as well.")
