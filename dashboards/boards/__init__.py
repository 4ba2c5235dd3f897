"""The boards, in the order in which somebody on call opens them."""

from __future__ import annotations

from typing import Final

from dashboards.boards import overview

BOARDS: Final = (overview.BOARD,)
