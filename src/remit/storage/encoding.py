"""How sessions, actions, approvals and the other structs are kept: as JSON, in bytes."""

from __future__ import annotations

import msgspec

from remit.approvals import Approval
from remit.budgets.cells import Cell
from remit.credentials import Credential
from remit.deliveries import Delivery
from remit.model import AdmittedAction, Session
from remit.stops import Stop

encode = msgspec.json.Encoder().encode
decode_session = msgspec.json.Decoder(Session).decode
decode_action = msgspec.json.Decoder(AdmittedAction).decode
decode_approval = msgspec.json.Decoder(Approval).decode
decode_cell = msgspec.json.Decoder(Cell).decode
decode_credential = msgspec.json.Decoder(Credential).decode
decode_delivery = msgspec.json.Decoder(Delivery).decode
decode_amounts = msgspec.json.Decoder(tuple[int, ...]).decode
decode_stop = msgspec.json.Decoder(Stop).decode

__all__ = [
    "decode_action",
    "decode_amounts",
    "decode_approval",
    "decode_cell",
    "decode_credential",
    "decode_delivery",
    "decode_session",
    "decode_stop",
    "encode",
]
