"""The scripted models are those of the model gateway's tests; the installer that of the MCP one."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("model_gateway", "mcp_gateway"):
    sys.path.append(str(Path(__file__).parents[1] / folder))
