"""All groups of rules, in the order in which a reader wants them."""

from __future__ import annotations

from typing import Final

from dashboards.alerting.burns import BURNING, RECORDED
from dashboards.alerting.money import BILL, SPENDING
from dashboards.alerting.parts import CACHE, LIMITS, LOCAL, TELEMETRY
from dashboards.alerting.service import GATEWAY, PROVIDERS

GROUPS: Final = (RECORDED, BURNING, GATEWAY, PROVIDERS, SPENDING, BILL, LIMITS, CACHE, LOCAL, TELEMETRY)
