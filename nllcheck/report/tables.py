"""Every point of a run's sweeps as a file: CSV, or Parquet with the extra `nllcheck[parquet]`.

NaN and the infinities are the subject here, so they are kept, and kept apart from what is missing: CSV spells them
`nan`, `inf` and `-inf`, Parquet holds them as floats, and class columns say it once more for readers that drop them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from nllcheck import disk
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.report import Report
from nllcheck.types import SweepTable

if TYPE_CHECKING:
    import numpy as np

Columns = dict[str, "np.ndarray[Any, Any]"]
ROWS = 100_000  # written at once
TEXTS = ("target", "axis", "role", "mode", "loss_class", "slope_class", "gradient_class")
WHOLE, TRUTHS = ("point",), ("in_batch_range",)
NAMES = ("target", "axis", "role", "mode", "point", "value", "loss", "loss_class", "slope", "slope_class",
         "gradient_class", "in_batch_range")  # fmt: skip


def save_sweep(reports: Sequence[Report], path: str | Path) -> None:
    """Write one row a point, axis and target to `path`; its suffix says how. Raises NllcheckError.

    Columns: `target` (`Report.label`), then those of `frames.sweep_frame`, with the same types.
    """
    writer(path)(_blocks(reports), path)


def writer(path: str | Path) -> Callable[[Iterator[Columns], str | Path], None]:
    """The writer that the suffix asks for. Raises NllcheckError where there is none, or its package is missing."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITERS:
        hint = did_you_mean(suffix, set(WRITERS)) if suffix else "name it sweep.csv or sweep.parquet"
        raise NllcheckError("a sweep is saved as .csv or .parquet", where=str(path), hint=hint)
    if suffix == ".parquet":
        _pyarrow(str(path))
    return WRITERS[suffix]


def _blocks(reports: Sequence[Report]) -> Iterator[Columns]:
    for report in reports:
        for table in report.sweeps:
            for start in range(0, len(table.values), ROWS):
                yield _columns(report.label, table, start)


def _columns(target: str, table: SweepTable, start: int) -> Columns:
    """Rows `start` to `start + ROWS` of one axis."""
    import numpy as np

    some = slice(start, start + ROWS)
    value, loss, slope = (np.array(c[some], dtype=np.float64) for c in (table.values, table.loss, table.slope))
    low, high = table.axis.observed
    texts = {"target": target, "axis": table.axis.label, "role": table.axis.role, "mode": table.axis.mode}
    found: Columns = {name: np.full(len(value), text, dtype=object) for name, text in texts.items()}
    found |= {"point": np.arange(start, start + len(value)), "value": value}
    found |= {"loss": loss, "loss_class": _classes(loss), "slope": slope, "slope_class": _classes(slope)}
    found["gradient_class"] = np.array(table.gradient_state[some], dtype=object)
    return found | {"in_batch_range": (low <= value) & (value <= high)}


def _classes(values: Any) -> Any:
    import numpy as np

    names = np.array(["finite", "inf", "nan"], dtype=object)
    return names[np.where(np.isnan(values), 2, np.where(np.isinf(values), 1, 0))]


def _csv(blocks: Iterator[Columns], path: str | Path) -> None:
    with disk.whole(path) as stream:
        _lines([NAMES], stream)
        for block in blocks:
            _lines(zip(*(block[name].tolist() for name in NAMES), strict=True), stream)


def _lines(rows: Any, stream: BinaryIO) -> None:
    """Floats as `repr` writes them, which reads back as the same number."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    stream.write(text.getvalue().encode("utf-8", "backslashreplace"))


def _parquet(blocks: Iterator[Columns], path: str | Path) -> None:
    """Arrays straight from numpy: on the way through pandas NaN would become null."""
    pa, pq = _pyarrow(str(path))
    schema = pa.schema([(name, _type(pa, name)) for name in NAMES])
    with disk.whole(path) as stream, pq.ParquetWriter(stream, schema, compression="zstd") as file:
        for block in blocks:
            arrays = [pa.array(block[name], _type(pa, name), from_pandas=False) for name in NAMES]
            file.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _type(pa: Any, name: str) -> Any:
    if name in TEXTS:
        return pa.string()
    return pa.int64() if name in WHOLE else pa.bool_() if name in TRUTHS else pa.float64()


def _pyarrow(path: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        hint = "pip install 'nllcheck[parquet]', or name a .csv file"
        raise NllcheckError("writing Parquet needs pyarrow", where=path, hint=hint) from None
    return pyarrow, pyarrow.parquet


WRITERS = {".csv": _csv, ".parquet": _parquet}
