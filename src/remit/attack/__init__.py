"""Red team: what a fully hijacked agent would get through, under a policy as it is in force.

``arguments`` makes calls up from what is declared of a tool, ``plan`` says which sequences to try,
``report`` tries them in rehearsals and says what would get through and which rule is missing.
Nothing is called, and nothing of the deployment moves.
"""

from __future__ import annotations

from remit.attack.report import Report, TriedSequence, attack

__all__ = ["Report", "TriedSequence", "attack"]
