"""The description of the API, made from the declarations of its routes: OpenAPI 3.1.

One component per model, whatever number of routes use it. Refusals share one schema; each status that a route may
answer with lists its stable ids.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter
from pydantic.json_schema import models_json_schema

from server.api.context import Context
from server.api.http import LOGIN_COOKIE, SAFE_METHODS, Access, Route, Routes
from server.api.problems import CONTENT_TYPE, STATUS, TEXTS, ProblemBody

REF = "#/components/schemas/{model}"
PATH_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")
BODY_ERRORS = ("bad_request", "too_large", "not_json", "invalid", "timeout")
TITLE = "Lamproom"


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The whole OpenAPI document."""
    schemas: dict[str, Any] = {}
    problem = TypeAdapter(ProblemBody).json_schema(ref_template=REF, mode="serialization")
    _put(schemas, problem.pop("$defs", {}))
    _put(schemas, {"Problem": problem})
    paths: dict[str, dict[str, Any]] = {}
    for route in sorted(routes, key=lambda one: (one.path, one.method)):
        path = PATH_PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "cookie": {"type": "apiKey", "in": "cookie", "name": LOGIN_COOKIE},
                "login": {"type": "http", "scheme": "bearer", "description": "The value of the log-in cookie"},
                "room_token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    words = re.findall(r"\w+", route.path.removeprefix("/api"))
    operation: dict[str, Any] = {
        "operationId": "_".join([route.method.lower(), *words]),
        "summary": route.summary,
        "security": _security(route.access),
        "responses": _responses(route, schemas),
    }
    if parameters := [*_path_parameters(route), *_query_parameters(route, schemas), *_headers(route)]:
        operation["parameters"] = parameters
    if route.body is not None:
        _, found = models_json_schema([(route.body, "validation")], ref_template=REF)
        _put(schemas, found.get("$defs", {}))
        schema = {"$ref": REF.format(model=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _security(access: Access) -> list[dict[str, list[str]]]:
    if access is None:
        return []
    return [{"room_token": []}] if access == "room_token" else [{"cookie": []}, {"login": []}]


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 128}}
        for name in PATH_PARAMETER.findall(route.path)
    ]


def _query_parameters(route: Route, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    whole = route.query.model_json_schema(ref_template=REF)
    _put(schemas, whole.get("$defs", {}))
    needed = whole.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": _without_null(schema)}
        for name, schema in whole.get("properties", {}).items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query parameter is left out, never null."""
    options = [one for one in schema.get("anyOf", []) if one != {"type": "null"}]
    if len(options) != 1:
        return schema
    rest: dict[str, Any] = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    return rest | dict(options[0])


def _headers(route: Route) -> list[dict[str, Any]]:
    if route.method in SAFE_METHODS or route.access in (None, "room_token"):
        return []
    about = "Needed with the cookie: no form of another site can send it."
    schema = {"type": "string", "enum": ["1"]}
    return [{"name": "X-Lamproom", "in": "header", "required": False, "description": about, "schema": schema}]


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done"}
    if route.adapter is not None:
        schema = route.adapter.json_schema(ref_template=REF, mode="serialization")
        _put(schemas, schema.pop("$defs", {}))
        name = schema.get("title")
        if name and getattr(route.ok, "__name__", None) == name:
            _put(schemas, {name: schema})
            schema = {"$ref": REF.format(model=name)}
        good["content"] = {"application/json": {"schema": schema}}
    elif route.ok is not None:
        good["content"] = {route.content: {"schema": {"type": "string"}}}
    responses = {str(route.status): good}
    for status, errors in _refusals(route).items():
        responses[str(status)] = {
            "description": " · ".join(f"`{error}`: {TEXTS[error].en}" for error in errors),
            "content": {CONTENT_TYPE: {"schema": {"$ref": REF.format(model="Problem")}}},
        }
    return responses


def _refusals(route: Route) -> Mapping[int, list[str]]:
    """Stable ids by status: the route's own, and those of the frame."""
    errors = [*route.errors, "store_unavailable", "bad_request"]
    if route.access == "room_token":
        errors += ["token_invalid", "token_expired", "revoked"]
    elif route.access is not None:
        errors.append("not_signed_in")
    if route.access not in (None, "signed_in", "room_token"):
        errors.append("not_allowed")
    if route.method not in SAFE_METHODS:
        errors.append("foreign_origin")
    if route.body is not None:
        errors += BODY_ERRORS
    if route.query is not None:
        errors += ["bad_request", "invalid"]
    if "{" in route.path:
        errors.append("not_found")
    found: dict[int, list[str]] = {}
    for error in errors:
        of_status = found.setdefault(STATUS[error], [])
        if error not in of_status:
            of_status.append(error)
    return dict(sorted(found.items()))


def _put(schemas: dict[str, Any], new: Mapping[str, Any]) -> None:
    """Add components.

    Raises:
        ValueError: two models that differ have one name.
    """
    for name, schema in new.items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"two models that differ are called {name}")


def routes_of(described: Routes, version: str) -> Routes:
    """`GET /api/openapi.json`, which describes itself as well."""
    own = Routes()
    cached: list[dict[str, Any]] = []

    async def openapi(_context: Context, _request: web.Request, _body: None) -> web.Response:
        if not cached:
            cached.append(document(Routes.of(described, own), version))
        return web.json_response(cached[0])

    own.route("GET", "/api/openapi.json", access=None, summary="This description", ok=dict[str, object])(openapi)
    return own
