"""The description holds: schemathesis asks all that it allows, and much that it does not, of a real listener."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from jsonschema.validators import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from gateway.admin.openapi import document
from gateway.admin.routes import Permission
from tests.gateway.admin.listening import ROUTES, TOKEN, in_thread, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gateway.admin.listening import Listening

DOCUMENT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document(ROUTES)))
REFUSED = [400, 401, 403, 404, 405, 409, 412, 413, 415, 428, 429]
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})
SCHEMA = schemathesis.openapi.from_dict(deepcopy(DOCUMENT), config=CONFIG)
LINKED = SCHEMA.exclude(path="/admin/v1/events")  # nothing leads there, and it waits for calls that nobody makes
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with in_thread(tmp_path_factory.mktemp("described")) as gateway:
        yield gateway


def few(examples: int) -> settings:
    """The same requests every time."""
    return settings(
        max_examples=examples,
        stateful_step_count=6,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=QUIET,
    )


def check(case: schemathesis.Case[Any], gateway: Listening) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    if case.query and "wait_s" in case.query and case.meta is not None and not case.meta.generation.mode.is_negative:
        case.query["wait_s"] = 0  # nothing will come, and to wait for that is no check of a shape
    # An empty list in a query is not sent, so what was to be wrong of such a case may not be.
    is_sent_whole = [] not in (case.query or {}).values()
    checks = CHECKS if is_sent_whole else [one for one in CHECKS if one is not negative_data_rejection]
    case.call_and_validate(base_url=gateway.admin_url, headers=headers, checks=checks)


@SCHEMA.parametrize()
@few(8)
def test_answers_are_as_described(case: schemathesis.Case[Any], gateway: Listening) -> None:
    check(case, gateway)


@pytest.mark.slow
@SCHEMA.parametrize()
@few(150)
def test_many_answers_are_as_described(case: schemathesis.Case[Any], gateway: Listening) -> None:
    check(case, gateway)


def forget_all(gateway: Listening) -> None:
    path = gateway.gateway.keys.database.path
    assert path is not None
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        for table in ("virtual_keys", "key_secrets", "teams", "users", "orgs WHERE name <> 'default'"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our words
        connection.commit()


@pytest.mark.parametrize("examples", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_what_was_made_can_be_shown_changed_and_taken_back(gateway: Listening, examples: int) -> None:
    """Along the links of the description, from one answer to the next request."""

    class Workflow(LINKED.as_state_machine()):  # type: ignore[misc]
        def setup(self) -> None:
            forget_all(gateway)  # what a run finds must not depend on the runs before it

        def validate_response(self, response: Any, case: schemathesis.Case[Any], **_: Any) -> None:
            case.validate_response(response, checks=CHECKS)

        def get_call_kwargs(self, case: schemathesis.Case[Any]) -> dict[str, Any]:
            assert case.operation.path.startswith("/")
            return {"base_url": gateway.admin_url, "headers": {"Authorization": f"Bearer {TOKEN}"}}

    run_state_machine_as_test(Workflow, settings=few(examples))


def test_the_description_is_one_of_openapi_3_1() -> None:
    OPENAPI_31_VALIDATOR.validate(DOCUMENT)
    assert DOCUMENT["jsonSchemaDialect"] == Draft202012Validator.META_SCHEMA["$id"]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    operations = [operation for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == len(ROUTES)
    for operation in operations:
        assert all(response["description"] for response in operation["responses"].values())
        for parameter in operation["parameters"]:
            Draft202012Validator.check_schema(parameter["schema"])
    text = msgspec.json.encode(DOCUMENT).decode()
    references = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert references <= DOCUMENT["components"]["schemas"].keys()


def test_each_operation_says_what_it_takes_to_be_let_in() -> None:
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        assert operation["x-permission"] == route.permission.value
        is_open = route.permission is Permission.OPEN
        assert (operation.get("security") == []) == is_open
        assert ("401" in operation["responses"]) != is_open


async def test_the_description_is_served_as_it_is_made(tmp_path: Path) -> None:
    async with listening(tmp_path) as here:
        told = await here.ask("GET", "/admin/v1/openapi.json")
        assert (await here.ask("GET", "/admin/v1/openapi.json", token=None)).status == 401
    assert told.body == DOCUMENT
