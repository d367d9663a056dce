"""The OpenAPI document: valid, and true of a running gateway, whatever is asked."""

from pathlib import Path
from typing import Any, cast

import anyio.to_thread
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from chappe.dialects.native import PROBLEMS
from chappe.listeners.native import openapi_document
from native.house import house_in
from whole import run

EXAMPLES = 12  # of each operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]


def test_the_document_is_valid() -> None:
    """The document keeps to OpenAPI 3.1, and each operation has a name of its own."""
    document: Any = openapi_document()
    OpenAPIV31SpecValidator(document).validate()
    operations = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(set(operations)) == len(operations)


def test_every_problem_is_documented() -> None:
    """Each problem that there is stands at an endpoint in the document."""
    words = repr(openapi_document()["paths"])
    assert [
        code for code in PROBLEMS if f"`{code}`" not in words and code not in ("duplicate", "method_not_allowed")
    ] == []


def test_the_document_is_true(tmp_path: Path) -> None:
    """Whatever is asked of a real gateway, no answer is a 5xx, or of a status, type or shape that is not told."""

    async def story() -> None:
        async with house_in(tmp_path, api_rate=0.0) as house:
            proof = house.proofs["alice"]
            url = f"http://127.0.0.1:{house.app.http_port}"

            def ask_everything() -> None:
                schema = schemathesis.openapi.from_url(f"{url}/v1/openapi.json", headers={"Authorization": proof})
                for found in schema.get_all_operations():
                    ask_about(cast(Any, found).ok(), proof)

            await anyio.to_thread.run_sync(ask_everything)

    run(story())


def ask_about(operation: Any, proof: str) -> None:
    def ask(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": proof}, checks=CHECKS)

    bounded = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    bounded(given(case=operation.as_strategy())(ask))()
