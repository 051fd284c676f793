import pytest

from remit import errors
from remit.errors import (
    ApprovalRequired,
    Denied,
    InvalidArgument,
    InvalidRequest,
    OutcomeNotRecorded,
    PolicyError,
    Refused,
    RemitError,
    Withheld,
)
from remit.model import ApprovalId, Effect, Fault, Location, Reason

REASON = Reason(rule="no-drop", effect=Effect.DENY)


def faults(count: int) -> list[Fault]:
    return [Fault(at=Location("remit.yaml", n, 1), message=f"fault {n}") for n in range(count)]


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    assert errors.__doc__ is not None
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        words = line.replace("│", " ").replace("├──", "   ").replace("└──", "   ")
        name = words.split()[0] if words.split() else ""
        if not isinstance(getattr(errors, name, None), type):
            continue
        depth = (len(words) - len(words.lstrip())) // 4 - 1
        del above[depth:]
        drawn[name] = above[-1] if above else "Exception"
        above.append(name)
    coded = {
        name: kind.__base__.__name__
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, RemitError) and kind.__base__ is not None
    }
    assert drawn == coded
    assert all(getattr(errors, name).__doc__ for name in drawn)


def test_a_policy_error_lists_every_fault() -> None:
    assert str(PolicyError(faults(1))).splitlines() == [
        "1 fault in the policy; nothing was loaded.",
        "remit.yaml:0:1: fault 0",
    ]
    error = PolicyError(faults(2))
    assert str(error).startswith("2 faults in the policy; nothing was loaded.\n")
    assert [fault.message for fault in error.faults] == ["fault 0", "fault 1"]


def test_an_invalid_argument_names_its_place() -> None:
    error = InvalidArgument("args.rows[3]", "NaN is not JSON")
    assert (str(error), error.where, error.problem) == (
        "args.rows[3]: NaN is not JSON",
        "args.rows[3]",
        "NaN is not JSON",
    )
    assert isinstance(error, InvalidRequest)


def test_refusals_carry_their_reasons() -> None:
    error = Denied("no", reasons=[REASON])
    assert (str(error), error.reasons, error.admission) == ("no", (REASON,), None)
    held = ApprovalRequired("later", approval=ApprovalId("ap-1"), reasons=[REASON])
    assert (held.approval, held.reasons) == ("ap-1", (REASON,))
    assert Withheld("hidden", reasons=[REASON]).reasons == (REASON,)
    for kind in (Denied, ApprovalRequired):
        assert issubclass(kind, Refused)
    with pytest.raises(RemitError):
        raise held


def test_an_unrecorded_outcome_carries_what_came_of_the_action() -> None:
    cause = ValueError("x")
    error = OutcomeNotRecorded("it ran", result=[1], error=cause)
    assert (error.result, error.error) == ([1], cause)
    assert OutcomeNotRecorded("it ran").result is None
