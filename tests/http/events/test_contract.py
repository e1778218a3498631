"""Thousands of made-up requests to the event store: every answer is one that the document describes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

from emberkeep.base.identity import Role
from emberkeep.events.routes import ROUTES
from tests.conftest import lend_database
from tests.http.events.serving import serve
from tests.http.notes_app import make_test_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from emberkeep.base.postgres import EmbeddedServer

_TOKEN = make_test_token(Role.ADMIN)
# It cannot know that our token overrides the ones it makes up, that a body of the right shape may
# still be refused for what it says, nor that everything in a query is text, also `null`.
_UNKNOWABLE = [ignored_auth, positive_data_acceptance, negative_data_rejection]


@pytest.fixture(scope="module")
def contract(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Any]:
    """The document of a server that runs on a database of its own."""
    with (
        lend_database(postgres_server, template=migrated_template) as name,
        serve(postgres_server.dsn_for(name)) as url,
    ):
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


def _list_operations() -> list[tuple[str, str]]:
    return [
        (path.replace(":str}", "}"), method)
        for handler in ROUTES
        for path in handler.paths
        for method in handler.http_methods
    ]


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("path", "method"), _list_operations())
def test_every_answer_is_described(
    contract: Any, path: str, method: str, mode: GenerationMode
) -> None:
    @given(case=contract[path][method].as_strategy(generation_mode=mode))
    @settings(
        max_examples=40,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        response = case.call(headers={"authorization": f"Bearer {_TOKEN}"})
        case.validate_response(response, excluded_checks=_UNKNOWABLE)

    check()
