"""Where values come from: the user, trusted results, untrusted results, or nowhere.

``memory`` keeps what a session has seen, as digests; ``request`` reads what the user asked for;
``grounding`` answers for a value of a call whether the user gave it, a platform set it, or it was
computed from such. Pure and deterministic: no model, no I/O, no clock.
"""
