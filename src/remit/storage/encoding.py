"""How sessions, actions, approvals and credentials are kept: as JSON, in bytes."""

from __future__ import annotations

import msgspec

from remit.approvals import Approval
from remit.credentials import Credential
from remit.model import AdmittedAction, Session

encode = msgspec.json.Encoder().encode
decode_session = msgspec.json.Decoder(Session).decode
decode_action = msgspec.json.Decoder(AdmittedAction).decode
decode_approval = msgspec.json.Decoder(Approval).decode
decode_credential = msgspec.json.Decoder(Credential).decode

__all__ = ["decode_action", "decode_approval", "decode_credential", "decode_session", "encode"]
