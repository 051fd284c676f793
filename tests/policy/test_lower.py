from __future__ import annotations

from random import Random

from conditions_made_up import CONSTANTS, Maker, lowered, make_scope, outcome_of, referenced
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.policy.checking import check_condition
from remit.policy.expressions import parse
from remit.policy.tokens import ExpressionFault
from remit.policy.types import Environment

ENVIRONMENT = Environment(constants=CONSTANTS, on_result=True)
INPUTS = 40
counts = {"conditions": 0, "refused": 0, "pairs": 0, "value": 0, "error": 0, "missing": 0}


@settings(max_examples=500, derandomize=True, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(st.randoms(use_true_random=False), st.integers(0, 2**32))
def test_generated_code_agrees_with_the_reference(random, seed):
    text = Maker(random, common=False).condition()
    node = parse(text)
    faults: list[ExpressionFault] = []
    check_condition(node, ENVIRONMENT, faults)
    counts["conditions"] += 1
    if faults:
        counts["refused"] += 1
        return
    source = Random(seed)
    scopes = [make_scope(source) for _ in range(INPUTS)]
    for restricts in (True, False):
        reference, code = referenced(node, restricts), lowered(node, restricts)
        for scope in scopes:
            expected = outcome_of(lambda: reference(scope))  # noqa: B023
            assert outcome_of(lambda: code(scope)) == expected, (text, restricts, scope)  # noqa: B023
            counts["pairs"] += 1
            counts[expected[0]] += 1


def test_enough_pairs_were_compared():
    assert counts["pairs"] >= 20_000, counts
    assert min(counts["value"], counts["error"], counts["missing"]) >= 500, counts
