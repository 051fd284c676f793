"""The declarations of adapters in words: for ``remit adapters`` and for the docs."""

from __future__ import annotations

from collections.abc import Sequence

from remit.adapters.declared import Adapter

_MODES = {"sync": "blocking", "async": "event loop", "stream": "streaming"}
_HOSTED = {True: "seen", False: "not seen: use the model gateway"}


def table(adapters: Sequence[Adapter]) -> tuple[list[str], list[list[str]]]:
    """Headers and one row for each adapter."""
    headers = ["adapter", "tested", "ways", "rewrite", "redact", "hold", "children"]
    headers += ["reached around", "hosted tools"]
    rows = [
        [
            each.name,
            each.tested,
            ", ".join(each.modes),
            _yes(each.rewrite),
            _yes(each.redact),
            each.hold,
            _yes(each.children),
            each.around,
            _yes(each.hosted),
        ]
        for each in adapters
    ]
    return headers, rows


def facts(adapter: Adapter) -> list[tuple[str, str]]:
    """Everything that is declared of one adapter."""
    said = [
        ("install", f"`pip install remit '{adapter.package}'`"),
        ("tested with", adapter.tested),
        ("in a program", f"`{adapter.entry}`"),
        ("ways of running", ", ".join(_MODES[mode] for mode in adapter.modes)),
        ("arguments rewritten", _yes(adapter.rewrite)),
        ("results redacted", _yes(adapter.redact)),
        ("a held call", _held(adapter)),
        ("cancelled while it runs", "settled at once" if adapter.cancel else "when the lease ends"),
        ("child agents", "governed with their parent" if adapter.children else "none"),
        ("a tool reached around the adapter", adapter.around),
        ("when Remit itself fails", adapter.on_error),
        ("tools that the provider runs", _HOSTED[adapter.hosted]),
        ("not seen", adapter.hidden or "nothing known"),
    ]
    return [*said, *((f"not tested: {name}", why) for name, why in adapter.not_applicable)]


def _held(adapter: Adapter) -> str:
    if adapter.hold == "pause":
        return f"pauses the agent: {adapter.hold_by}"
    return f"is told to the model, which makes it again: {adapter.hold_by}"


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
