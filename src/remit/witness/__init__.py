"""Checkpoints kept outside: a client that watches a log, and gets it cosigned by witnesses.

It needs a server's address, an auditor's key and the log's verifier key, and trusts the server in
nothing else: deleting the newest records, or showing two logs to two readers, is seen here.
"""

from __future__ import annotations

from remit.witness.growth import check_growth
from remit.witness.pushing import cosigned
from remit.witness.remote import RemoteLog

__all__ = ["RemoteLog", "check_growth", "cosigned"]
