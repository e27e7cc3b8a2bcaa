"""The description of the API: valid OpenAPI 3.1, whole, and true of every answer."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from analytics.finding import Finding
from server.api.http import Input, Output, Routes
from server.api.openapi import document
from server.api.problems import TEXTS
from tests.fakes.serving import ROUTES, Served, serve

HTTP_METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as one:
        await one.add_user("chief", "admin", "county")
        yield one


def operations(found: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, item in found["paths"].items()
        for method, operation in item.items()
        if method in HTTP_METHODS
    }


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(value) for value in node.values()), set())
    if isinstance(node, list):
        return set().union(*(references(value) for value in node))
    return set()


async def test_document_is_served_and_valid(served: Served) -> None:
    async with served.browser() as session, session.get("/api/openapi.json") as response:
        assert response.status == 200
        found = await response.json()
    OPENAPI_31_VALIDATOR.validate(found)
    assert set(operations(found)) == {(route.method, route.path) for route in served.routes}


def test_validator_would_object() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        OPENAPI_31_VALIDATOR.validate({"openapi": "3.1.0", "info": {"title": "x"}, "paths": {}})


def test_every_reference_leads_somewhere_and_every_schema_is_one() -> None:
    found = document(ROUTES, "0")
    schemas = found["components"]["schemas"]
    assert references(found) <= {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_every_operation_has_a_name_of_its_own_and_says_what_may_go_wrong() -> None:
    found = operations(document(ROUTES, "0"))
    names = [operation["operationId"] for operation in found.values()]
    assert len(set(names)) == len(names)
    for (method, path), operation in found.items():
        assert operation["summary"], (method, path)
        statuses = set(operation["responses"])
        if operation["security"]:
            assert "401" in statuses, (method, path)
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= statuses, (method, path)


def test_two_models_of_one_name_are_noticed() -> None:
    def model(kind: type) -> type[BaseModel]:
        class Twin(Input):
            value: kind  # type: ignore[valid-type]

        return Twin

    routes = Routes()

    async def handler(_context: object, _request: object, _body: object) -> None:
        return None

    for number, kind in enumerate((int, str)):
        routes.route("POST", f"/x{number}", access=None, summary="x", ok=None, body=model(kind))(handler)
    with pytest.raises(ValueError, match="Twin"):
        document(routes, "0")


def test_problem_texts_are_listed_with_their_ids() -> None:
    login = operations(document(ROUTES, "0"))["POST", "/api/login"]
    assert TEXTS["wrong_login"].en in login["responses"]["401"]["description"]
    assert "`too_many_attempts`" in login["responses"]["429"]["description"]


def test_bodies_refuse_and_answers_bear_no_unknown_member() -> None:
    for name, schema in document(ROUTES, "0")["components"]["schemas"].items():
        if schema.get("type") == "object" and name not in ("Problem", "FieldProblem", "Text"):
            assert schema.get("additionalProperties") is False, name
    assert Output.model_config["extra"] == "forbid"


@pytest.mark.peer
async def test_generated_requests_get_only_described_answers(served: Served, tmp_path: Path) -> None:
    """Schemathesis, as a program of its own: about a thousand requests, each answer held to the description."""
    finding = Finding("mine-a", "mine-a/absence/main", "absence", "main", "raised", "alarm", 1.8e9, "空岗", "Empty")
    await served.context.alerts.apply(finding, at=1.8e9)
    _, secret = await served.context.identity.login("chief", "correct horse battery", "192.0.2.9")
    report = tmp_path / "report.ndjson"
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", "run", f"{served.url}api/openapi.json", "--url", served.url,
        "--header", f"Authorization: Bearer {secret}", "--phases", "fuzzing,coverage", "--max-examples", "4",
        "--seed", "7", "--no-shrink", "--workers", "1", "--max-response-time", "5", "--request-timeout", "10",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--exclude-operation-id", "delete_login", "--report", "ndjson", "--report-ndjson-path", str(report),
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(100):
            said, _ = await program.communicate()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    text = said.decode()
    assert program.returncode == 0, text[-6000:]
    lines = [json.loads(line) for line in report.read_text("utf-8").splitlines()]
    assert lines
    text = served.context.metrics.text().decode()
    answered = [line for line in text.splitlines() if line.startswith("lamproom_http_requests_total")]
    total = sum(float(line.rsplit(" ", 1)[1]) for line in answered)
    assert total >= 500
    assert not any('status="5' in line for line in answered)
