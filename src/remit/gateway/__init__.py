"""Gateways: enforcement between agents and what they reach over a protocol.

Nothing here decides. Each gateway turns what passes into calls, has them decided by the same flows
as the SDK (``remit.guard.enforcement``), and forwards what was granted.
"""
