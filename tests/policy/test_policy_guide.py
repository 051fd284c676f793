"""The page on policy documents: its examples load, and it leaves no key out."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from remit.model import Does
from remit.policy import load
from remit.policy.document import (
    BudgetEntry,
    ObligationEntry,
    PolicyDocument,
    RuleEntry,
    ToolEntry,
)
from remit.policy.meaning import BUILT_IN_REASONS

GUIDE = (Path(__file__).parents[2] / "docs" / "policy-documents.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_load_without_a_warning(example):
    assert load({"remit.yaml": example}).warnings == ()


def test_there_are_examples():
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(
    "struct", [PolicyDocument, ToolEntry, RuleEntry, BudgetEntry, ObligationEntry]
)
def test_every_key_is_explained(struct):
    for field in msgspec.structs.fields(struct):
        assert re.search(rf"`{re.escape(field.encode_name)}[`:]", GUIDE), field.encode_name


def test_every_class_and_built_in_reason_of_policy_is_named():
    assert f"`{' '.join(each.value for each in Does)}`" in GUIDE
    own = {"unknown-agent", "look-alike-name", "bad-arguments", "rule-error", "missing-fact"}
    assert own <= BUILT_IN_REASONS
    assert all(f"`{reason}`" in GUIDE for reason in own)
