"""The OpenAPI 3.1 document, made from the routes themselves, and who may call each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Final, cast

import msgspec
from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig

from emberkeep.base.identity import PERMISSIONS, Permission
from emberkeep.web.errors import CONTENT_TYPE

VERSION: Final = metadata.version("emberkeep")
_PROBLEM: Final = {
    "title": "Problem",
    "description": "An error as RFC 9457 says it; `code` is stable, and further facts may follow.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_PROBLEM_ANSWER: Final = {
    "description": "Anything but success.",
    "content": {CONTENT_TYPE.decode(): {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a retry safe for 24 hours: the call has its effect once, and a repeat is"
    " answered the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def render_document(
    handlers: Sequence[HTTPRouteHandler], dependencies: Mapping[str, Provide]
) -> bytes:
    """Return the JSON document of `handlers`."""
    # An application that is never served: the framework can only describe what it has routed, and
    # it would add pages of its own, which load scripts from elsewhere, to one that is.
    described = Litestar(
        route_handlers=[*handlers],
        dependencies=dict(dependencies),
        openapi_config=OpenAPIConfig(
            title="Emberkeep", version=VERSION, use_handler_docstrings=True
        ),
        logging_config=None,
    )
    document = described.openapi_schema.to_schema()
    by_operation = {
        (route.path_format, method.lower()): handler
        for route in described.routes
        for handler in cast("list[HTTPRouteHandler]", getattr(route, "route_handlers", []))
        for method in handler.http_methods
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, by_operation[path, method])
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    return msgspec.json.encode(document)


def _complete(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    """Add what the framework cannot know: who may call, how it fails, how to retry."""
    permission = handler.opt.get("permission", Permission.PUBLIC)
    operation["security"] = [] if permission is Permission.PUBLIC else [{"token": []}]
    operation["x-roles"] = sorted(
        role.value for role, granted in PERMISSIONS.items() if permission in granted
    )
    # The framework describes its own form of a refusal; ours is the same for every call.
    operation["responses"].pop("400", None)
    operation["responses"]["default"] = _PROBLEM_ANSWER
    if handler.opt.get("idempotent"):
        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
