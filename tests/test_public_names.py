"""The public surface: what ``import remit`` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import remit

PUBLIC = [
    "Admission",
    "ApprovalError",
    "ApprovalId",
    "ApprovalRequired",
    "AsyncPermit",
    "AuditError",
    "AuthenticationError",
    "ConfigError",
    "Denied",
    "Effect",
    "Fault",
    "Guard",
    "InvalidArgument",
    "InvalidRequest",
    "Location",
    "Mode",
    "OutcomeNotRecorded",
    "Permit",
    "PolicyError",
    "Reason",
    "Refused",
    "RemitError",
    "SessionId",
    "SessionScope",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "StoreReadOnly",
    "StoreTooNew",
    "TaskRemit",
    "Unavailable",
    "Withheld",
    "__version__",
]


def test_the_public_names_are_these() -> None:
    assert remit.__all__ == PUBLIC
    assert dir(remit) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(remit, name).__doc__
    with pytest.raises(AttributeError, match="Nothing"):
        getattr(remit, "Nothing")  # noqa: B009 - as a program would find it missing
    exec("from remit import *", names := {})
    assert set(PUBLIC) <= set(names)


def test_every_error_is_a_remit_error_and_public_ones_are_exported() -> None:
    from remit import errors

    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert all(issubclass(kind, errors.RemitError) for kind in kinds.values())
    internal = {"MalformedReply", "ObligationError", "SettlementError"}
    assert set(kinds) - set(PUBLIC) == internal


def test_import_brings_in_no_parser_no_terminal_and_no_network() -> None:
    heavy = [
        "click",
        "rich",
        "sqlglot",
        "tree_sitter",
        "tree_sitter_bash",
        "ada_url",
        "aiohttp",
        "http.client",
    ]
    program = (
        f"import sys; from remit import Guard; print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
