"""Who used how much, as a file for finance: CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from remit.chargeback import SPLITS, Split, UsageRow, columns
from remit.errors import ConfigError

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_text(rows: Sequence[UsageRow], by: Sequence[Split]) -> str:
    """The rows as CSV (RFC 4180), with a line of names.

    Agents choose names. One that a spreadsheet would run as a formula gets a ``'`` before it.
    """
    names = columns(by)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(name, getattr(row, name)) for name in names])
    return out.getvalue()


def write_parquet(rows: Sequence[UsageRow], by: Sequence[Split], path: Path) -> None:
    """Write the rows as Parquet, dollars as ``decimal128(38, 9)``.

    Raises:
        ConfigError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed: pip install 'remit[parquet]', or use "
            "--format csv."
        ) from None
    from decimal import Decimal

    names = columns(by)
    types = {"usd": pa.decimal128(38, 9), "seconds": pa.float64()}
    text = {"period", *SPLITS}
    fields = [
        pa.field(name, pa.string() if name in text else types.get(name, pa.int64()))
        for name in names
    ]
    values = [
        [Decimal(row.usd) if name == "usd" else getattr(row, name) for row in rows]
        for name in names
    ]
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(values, fields, strict=True)],
        schema=pa.schema(fields),
    )
    parquet.write_table(table, path)


def _cell(name: str, value: object) -> object:
    if name in SPLITS and isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
