from __future__ import annotations

import pytest

from gateway.admin.problems import problem_of
from gateway.errors import RequestError
from gateway.keys.peppers import PepperError
from gateway.state.keys.records import Conflict, Invalid, ManagedElsewhere, NotFound, Outdated
from gateway.state.ledger.schema import LedgerError


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid("limits[0].when", "is no expression"), 400, "invalid_request"),
        (NotFound("there is no such key"), 404, "not_found"),
        (Conflict("a name is taken"), 409, "conflict"),
        (ManagedElsewhere("key 'ci'"), 409, "managed_by_policy_file"),
        (Outdated("it was changed"), 412, "precondition_failed"),
        (PepperError("set secrets.pepper"), 503, "not_configured"),
        (LedgerError("postgresql://user@host is away"), 503, "database_unavailable"),
        (ZeroDivisionError("inner"), 500, "internal_error"),
        (RequestError("No.", status=418, code="teapot"), 418, "teapot"),
    ],
)
def test_each_problem_has_its_answer(error: Exception, status: int, code: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.code) == (status, code)


def test_what_is_wrong_is_said_with_its_field() -> None:
    problem = problem_of(Invalid("networks[1]", "must be a network"))
    assert (problem.message, problem.param) == ("networks[1] must be a network.", "networks[1]")
    assert problem_of(NotFound("there is no such key")).message == "There is no such key."


def test_the_inside_is_not_told() -> None:
    assert "host" not in problem_of(LedgerError("postgresql://user@host is away")).message
    assert "inner" not in problem_of(ZeroDivisionError("inner")).message
