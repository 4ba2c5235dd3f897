"""The names under which the ledger, prices and what providers billed appear in telemetry."""

from __future__ import annotations

from gateway.signals.telemetry import NANO, Family, Kind, Merge

LEDGER_FAILURES = Family("pointsman_ledger_write_failures_total", Kind.COUNTER, "Writes to the ledger that failed.")
LEDGER_LAG = Family(
    "pointsman_ledger_lag_seconds", Kind.GAUGE, "Age of the oldest row not yet in the ledger.", merge=Merge.LARGEST
)
LEDGER_UNKNOWN = Family(
    "pointsman_ledger_unknown_attempts_total",
    Kind.COUNTER,
    "Attempts of processes that died whose outcome nobody knows: they are charged as estimated.",
)
LEDGER_DAMAGED = Family(
    "pointsman_ledger_damaged_bytes_total", Kind.COUNTER, "Bytes of journals that could not be read back."
)
LEDGER_OPEN_INTENTS = Family(
    "pointsman_ledger_open_intents", Kind.GAUGE, "Attempts written down whose outcome has not come yet."
)
LEDGER_JOURNAL = Family("pointsman_ledger_journal_bytes", Kind.GAUGE, "Size of the write-ahead journal.")
LEDGER_DIFFERENCE = Family(
    "pointsman_ledger_metric_difference_usd",
    Kind.GAUGE,
    "By how much the cost counters of a process and the rows that it gave its ledger differ: 0 unless there is a bug.",
    scale=NANO,
    merge=Merge.LARGEST,
)
PRICE_TABLE_AGE = Family(
    "pointsman_price_table_age_seconds",
    Kind.GAUGE,
    "How old the price table is, by the date that it bears.",
    merge=Merge.LARGEST,
)
SPEND_CAPTURE = Family(
    "pointsman_spend_capture_ratio",
    Kind.GAUGE,
    "What the ledger has of a provider's latest invoice that was noted: 1 is all of it.",
    ("provider",),
    merge=Merge.SMALLEST,
)
INVOICE = Family(
    "pointsman_provider_invoice_usd",
    Kind.GAUGE,
    "The amount of a provider's latest invoice that was noted.",
    ("provider",),
    scale=NANO,
    merge=Merge.LARGEST,
)
