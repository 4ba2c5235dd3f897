from __future__ import annotations

import json

from gateway.admin.answers import Refused, Unavailable, as_json, as_record, refused
from gateway.errors import RequestError


def test_a_record_tells_its_revision() -> None:
    answer = as_record({"a": 1}, 7, 201, (("location", "/x"),))
    assert (answer.status, answer.body) == (201, b'{"a":1}')
    assert (answer.header("etag"), answer.header("location"), answer.header("missing")) == ('"7"', "/x", None)
    assert as_json([1]).headers == ()


def test_errors_have_the_form_of_the_data_planes() -> None:
    answer = refused(RequestError("Wrong.", param="a.b"))
    assert answer.status == 400
    error = {"message": "Wrong.", "type": "invalid_request_error", "param": "a.b", "code": "invalid_request"}
    assert json.loads(answer.body) == {"error": error}
    assert refused(RequestError("Who?", status=401, code="x")).header("www-authenticate") == "Bearer"
    assert refused(Refused("No.", status=405, code="x", headers=(("allow", "GET"),))).header("allow") == "GET"
    away = refused(Unavailable("Away.", "database_unavailable"))
    assert (away.status, json.loads(away.body)["error"]["type"]) == (503, "api_error")
