"""Webhooks: what happens to approvals and stops, sent to other programs, signed and at least once.

``settings`` is the configuration, ``outbox`` what waits in the store, ``messages`` and ``slack``
what is sent, ``signature`` how it is signed, ``sending`` the only part that talks to anybody.
"""
