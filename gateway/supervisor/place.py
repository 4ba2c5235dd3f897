"""A worker's place: its slot, the port that it shares, and the socket on which its supervisor asks it things."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

READY = b"ready\n"
"""What a worker writes to its standard output once it serves. Its standard input ends with its supervisor."""


class Place(NamedTuple):
    slot: int
    port: int
    admin_socket: Path

    @property
    def metrics_socket(self) -> Path:
        """Where all workers push their numbers."""
        return self.admin_socket.with_name("metrics.sock")

    def __str__(self) -> str:
        return f"{self.slot},{self.port},{self.admin_socket}"


def parse_place(text: str) -> Place:
    """The place that `str` made. Raises `ValueError`."""
    slot, port, socket = text.split(",", 2)
    return Place(int(slot), int(port), Path(socket))
