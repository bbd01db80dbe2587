"""Requests that nobody would write, made from the API's own description: none of them is a fault of ours."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode

from ranking.serving.app import create_app

EXAMPLES = 30  # an operation, valid ones and invalid ones each


@pytest.mark.parametrize("mode", [*GenerationMode])
def test_no_request_ends_in_a_fault_of_ours(engine, mode):
    described = schemathesis.openapi.from_asgi("/openapi.json", create_app(engine))
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 6
    answered = set()

    def ask(case):
        answer = case.call()
        answered.add(answer.status_code)
        assert answer.status_code < 500, f"{case.as_curl_command()}\n{answer.text}"
        if answer.status_code >= 400:
            assert answer.headers["content-type"][0] == "application/problem+json"

    quick = settings(max_examples=EXAMPLES, database=None, derandomize=True, suppress_health_check=[*HealthCheck])
    if mode is GenerationMode.NEGATIVE:  # of one that takes nothing, nothing can be wrong
        operations = [one for one in operations if one.body or one.path_parameters or one.query]
    for operation in operations:
        quick(given(operation.as_strategy(generation_mode=mode))(ask))()
    assert {200, 422} & answered
