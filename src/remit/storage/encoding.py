"""How sessions, actions and approvals are kept: as JSON, in bytes."""

from __future__ import annotations

import msgspec

from remit.approvals import Approval
from remit.model import AdmittedAction, Session

encode = msgspec.json.Encoder().encode
decode_session = msgspec.json.Decoder(Session).decode
decode_action = msgspec.json.Decoder(AdmittedAction).decode
decode_approval = msgspec.json.Decoder(Approval).decode

__all__ = ["decode_action", "decode_approval", "decode_session", "encode"]
