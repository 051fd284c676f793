"""What went wrong elsewhere, replayed: real incidents as calls, and what policy makes of them.

``case`` reads an incident and its benign twin, ``replay`` has a real governor decide on every call
of both. Works offline; nothing is really called.
"""

from __future__ import annotations

from remit.incidents.case import Incident, find, names
from remit.incidents.replay import Played, Replayed, replay

__all__ = ["Incident", "Played", "Replayed", "find", "names", "replay"]
