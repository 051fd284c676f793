"""What obligations make of calls is tested through the governor; here is what it cannot reach."""

from remit.fulfilment import denied, limited, obligation_failed
from remit.model import Decision, Effect, Obligation, RateLimit, Reason, Revision


def test_a_limit_that_never_fits_says_so() -> None:
    limit = RateLimit(id="none", by=("org",), calls=0, period=1_500_000_000, burst=0)
    reason = limited(limit, 0, None)
    assert reason.because == "Limit none is used up: 0 calls in 1.5 s."
    assert reason.instead == "It never will fit: ask for the limit to be raised."


def test_the_wait_is_rounded_up() -> None:
    limit = RateLimit(id="burst", by=("org",), calls=1, period=1_000_000_000, burst=1)
    assert limited(limit, 0, 1).instead == "Wait 1 s, then make the call again."
    assert limited(limit, 0, 1_000_000_001).instead == "Wait 2 s, then make the call again."


def test_a_decision_turned_into_a_deny_keeps_its_reasons_and_loses_its_terms() -> None:
    reason = Reason(rule="r1", effect=Effect.ALLOW)
    allowed = Decision(
        effect=Effect.ALLOW,
        revision=Revision("sha256:one"),
        reasons=(reason,),
        obligations=(Obligation(kind="label", value="x"),),
    )
    why = obligation_failed(ValueError("it did not work"))
    assert why.because == "it did not work."
    turned = denied(allowed, why)
    assert (turned.effect, turned.reasons, turned.obligations) == (Effect.DENY, (why, reason), ())
