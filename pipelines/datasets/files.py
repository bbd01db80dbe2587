"""Tables as they stand in CSV and Parquet files, each row with its place; values are judged later."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.errors import DatasetError

BLOCK_BYTES: Final = 16 << 20  # Arrow reads a CSV file in blocks; a row longer than one is an error
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class CsvLayout:
    """How a CSV file is written.

    names: the columns, if the file has no header. quote: what stands around a field with delimiters or line ends in it,
    None where none does.
    """

    names: Sequence[str] | None = None
    delimiter: str = ","
    quote: str | None = '"'
    encoding: str = "utf-8"


COMMAS: Final = CsvLayout()


def find_files(folder: Path, name: str) -> list[Path]:
    """Files of the table `name`: NAME.parquet, NAME.csv, or all such files in the folder NAME, by path; [] if none.

    Raises:
        DatasetError: the table stands there twice, or its folder holds no table.
    """
    found = [path for path in (folder / f"{name}.parquet", folder / f"{name}.csv") if path.is_file()]
    parts = folder / name
    if parts.is_dir():
        found.append(parts)
    if len(found) > 1:
        raise DatasetError(
            f"{folder}: {' and '.join(path.name for path in found)} both hold {name}; accepted: one of them; "
            f"keep one, or move all files into {name}/"
        )
    if found != [parts]:
        return found
    files = [path for path in sorted(parts.rglob("*")) if path.suffix in {".parquet", ".csv"} and path.is_file()]
    files = [path for path in files if not path.name.startswith((".", "_"))]
    if not files:
        raise DatasetError(f"{parts}: no table in this folder; accepted: .parquet and .csv files; add one")
    return files


def read_file(path: Path, sieve: Sieve, *, root: Path) -> pa.Table:
    """One file, its `SOURCE` column naming it relative to `root`. Every column of a CSV file is a string column."""
    return read_csv(path, sieve, root=root) if path.suffix == ".csv" else read_parquet(path, sieve, root=root)


def read_parquet(path: Path, sieve: Sieve, *, root: Path) -> pa.Table:
    """A Parquet file with types as written; rows with text that is not UTF-8 are rejected."""
    try:
        # Not pq.read_table: it would make columns of folders named like `year=2020`.
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "Parquet", error) from error
    table = _placed(table, path, root, np.arange(1, table.num_rows + 1))
    for index, name in enumerate(table.column_names):
        if table[name].type in (pa.string(), pa.large_string()):
            raw = table[name].cast(pa.binary())
            try:
                table = table.set_column(index, name, raw.cast(pa.string()))
            except pa.ArrowInvalid:  # Parquet's strings are not checked when they are read
                texts = pa.array([value and value.decode(errors="replace") for value in raw.to_pylist()], pa.string())
                table = _without_broken_text(table.set_column(index, name, texts), sieve)
    return table


def read_csv(path: Path, sieve: Sieve, *, root: Path, layout: CsvLayout = COMMAS) -> pa.Table:
    """A CSV file, every column a string column, an empty field null.

    Rows of another width, or with text in another encoding, are rejected. They are numbered as a spreadsheet does,
    blank lines aside: the header is row 1.
    """
    place = str(path.relative_to(root))
    odd: list[int] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        odd.append(row.number)
        remedy = f"{row.expected_columns} fields are expected and {row.actual_columns} stand there; mend or quote them"
        at = f"{place} row {row.number}"
        sieve.add("malformed_row", row=None, place=at, column="row", value=row.text, remedy=remedy)
        return "skip"

    try:
        text, broken = _as_utf8(path.read_bytes(), layout.encoding)
        table = pyarrow.csv.read_csv(
            pa.BufferReader(text),
            # One thread, as only then does Arrow know the number of a row of another width.
            pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=layout.names),
            pyarrow.csv.ParseOptions(
                delimiter=layout.delimiter,
                quote_char=layout.quote or False,
                newlines_in_values=layout.quote is not None,
                invalid_row_handler=note,
            ),
            pyarrow.csv.ConvertOptions(default_column_type=pa.string(), null_values=[""], strings_can_be_null=True),
        )
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, "CSV", error) from error
    if layout.quote and text.count(layout.quote.encode()) % 2:
        remedy = "one is never closed, and rows after it may be lost in it; close it, or double it inside a text"
        sieve.add("unclosed_quote", row=None, place=place, column="quote", value=layout.quote, remedy=remedy)
    first = 2 if layout.names is None else 1
    numbers = np.delete(np.arange(first, first + table.num_rows + len(odd)), np.array(odd, np.int64) - first)
    table = _placed(table, path, root, numbers)
    return _without_broken_text(table, sieve) if broken else table


def infer_attributes(table: pa.Table, *, known: Sequence[str]) -> pa.Table:
    """Give the text columns not `known` a number type where every value is written as a plain number.

    `007` stays text, as do digits too many for 64 bits: nothing that a file says is lost.
    """
    for index, name in enumerate(table.column_names):
        texts = table[name]
        if name in known or texts.type != pa.string() or texts.null_count == len(texts):
            continue
        for pattern, kind in (
            (r"^(0|-?[1-9]\d{0,17})$", pa.int64()),
            (r"^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d{1,2})?$", pa.float64()),
        ):
            if pc.all(pc.match_substring_regex(texts, pattern)).as_py():
                table = table.set_column(index, name, texts.cast(kind))
                break
    return table


def _as_utf8(data: bytes, encoding: str) -> tuple[bytes, bool]:
    """The text as UTF-8, and whether there are bytes in it, now `REPLACEMENT`, that are not of that encoding."""
    text = data.decode(encoding, errors="replace")
    encoded = text.encode()
    return encoded, encoded != data and REPLACEMENT in text


def _placed(table: pa.Table, path: Path, root: Path, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Table:
    twice = {name for name in table.column_names if table.column_names.count(name) > 1 or name == SOURCE}
    if twice:
        raise DatasetError(
            f"{path}: column {', '.join(sorted(twice))} stands there twice; accepted: each once; rename it"
        )
    rows = pa.array(numbers).cast(pa.string())
    place = pc.binary_join_element_wise(f"{path.relative_to(root)} row ", rows, "")
    return table.replace_schema_metadata(None).append_column(SOURCE, place)


def _without_broken_text(table: pa.Table, sieve: Sieve) -> pa.Table:
    """Without the rows in which decoding has left a replacement character."""
    for name in table.column_names:
        if table[name].type == pa.string() and name != SOURCE:
            broken = pc.match_substring(table[name], REPLACEMENT)
            table = sieve.reject(table, broken, "bad_encoding", column=name, remedy="accepted: UTF-8; save it as such")
    return table


def _unreadable(path: Path, kind: str, error: Exception) -> DatasetError:
    return DatasetError(f"{path}: not readable as {kind}: {str(error).splitlines()[0]}; write the file anew")
