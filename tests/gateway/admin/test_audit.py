from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from gateway.admin.answers import NOTHING, as_record
from gateway.admin.audit import note, object_of
from gateway.keys.virtual_keys import generate
from gateway.signals.logs import JsonFormatter

if TYPE_CHECKING:
    import pytest


def test_a_line_has_fields_for_machines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    note("admin_token", "192.0.2.1", "DELETE /k/{key_id}", "/k/1", "done 200")
    note("unknown", "192.0.2.1", "GET", "/k", "denied 401 invalid_admin_token")
    done, denied = caplog.records
    assert (done.levelno, denied.levelno) == (logging.INFO, logging.WARNING)
    line = msgspec.json.decode(JsonFormatter().format(done))
    assert line["event"] == "gateway.admin.audit"
    assert line["audit"] == {
        "actor": "admin_token",
        "peer": "192.0.2.1",
        "action": "DELETE /k/{key_id}",
        "object": "/k/1",
        "outcome": "done 200",
    }


def test_a_secret_in_a_path_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    key = generate("live")
    note("unknown", "", "DELETE", f"/admin/v1/keys/{key}\n", "denied 401 x")
    assert key.rpartition("_")[0][-20:] not in caplog.text
    assert key.rpartition("_")[0][-20:] not in str(caplog.records[0].audit)  # type: ignore[attr-defined]
    assert "\n" not in caplog.records[0].getMessage()


def test_a_write_is_about_what_it_made() -> None:
    assert object_of("/keys", as_record({}, 1, headers=(("location", "/keys/1"),))) == "/keys/1"
    assert object_of("/leaked", as_record({}, 1, headers=(("content-location", "/keys/2"),))) == "/keys/2"
    assert object_of("/keys/3", NOTHING) == "/keys/3"
