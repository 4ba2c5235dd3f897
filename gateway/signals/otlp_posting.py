"""What every sender of OTLP does alike: whose telemetry it is, how it is posted, and what a receiver's answer means."""

from __future__ import annotations

import gzip
import os
import socket
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import Resource

from gateway.signals.sending import RETRYABLE, Sent
from gateway.signals.telemetry import SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.signals.posting import Poster

HEADERS: Final = {"content-type": "application/x-protobuf", "content-encoding": "gzip", "user-agent": SERVICE}


def resource_of(version: str) -> Resource:
    """This process; what OTEL_RESOURCE_ATTRIBUTES says goes along."""
    instance = f"{socket.gethostname()}:{os.getpid()}"
    return Resource.create({"service.name": SERVICE, "service.version": version, "service.instance.id": instance})


def deliver(poster: Poster, message: bytes, count: int, rejected: Callable[[bytes], int]) -> Sent:
    """What became of `count` spans or points. `rejected` reads from an answer without which of them it took the rest.

    Blocks.
    """
    try:
        posted = poster.post(gzip.compress(message, compresslevel=1), HEADERS)
    except (OSError, HTTPException) as error:
        return Sent(retry_after_s=0.0, why=str(error) or type(error).__name__)
    if posted.status in RETRYABLE:
        return Sent(retry_after_s=posted.retry_after_s or 0.0, why=f"status {posted.status}")
    if not 200 <= posted.status < 300:
        return Sent(refused=count, why=f"status {posted.status}")
    try:
        return Sent(refused=min(count, max(0, rejected(posted.body))))  # a receiver may say anything
    except Exception:  # noqa: BLE001 - whatever protobuf makes of an answer that is none
        return Sent()
