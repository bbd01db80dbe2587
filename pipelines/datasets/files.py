"""Tables as they stand in CSV and Parquet files, each row with its place; values are judged later."""

import csv
from collections.abc import Sequence
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
UTF8: Final = "not UTF-8; save the file as UTF-8"


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
    return _decoded(_placed(table, path, root, np.arange(1, table.num_rows + 1)), sieve)


def read_csv(
    path: Path,
    sieve: Sieve,
    *,
    root: Path,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
    quote: str | None = '"',
    encoding: str = "utf8",
) -> pa.Table:
    """A CSV file, every column a string column, an empty field null; rows of another width are rejected.

    names: the columns of a file without a header. Rows are numbered as a spreadsheet does: the header is row 1.
    """
    odd: list[int] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        odd.append(row.number)
        remedy = f"{row.expected_columns} fields are expected and {row.actual_columns} stand there; mend or quote them"
        place = f"{path.relative_to(root)} row {row.number}"
        sieve.add("malformed_row", row=None, place=place, column="row", value=row.text, remedy=remedy)
        return "skip"

    columns = list(names) if names is not None else _header(path)
    try:
        table = pyarrow.csv.read_csv(
            path,
            # One thread, as only then does Arrow know the number of a row of another width.
            pyarrow.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names, encoding=encoding),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                quote_char=quote or False,
                newlines_in_values=quote is not None,
                invalid_row_handler=note,
            ),
            # Bytes, as one name in another encoding must not cost the whole file.
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.binary()), null_values=[""], strings_can_be_null=True
            ),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, "CSV", error) from error
    first = 1 if names is not None else 2
    numbers = np.delete(np.arange(first, first + table.num_rows + len(odd)), np.array(odd, np.int64) - first)
    return _decoded(_placed(table, path, root, numbers), sieve)


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


def _header(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return next(csv.reader([file.readline().decode("utf-8-sig")]), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, "CSV", error) from error


def _placed(table: pa.Table, path: Path, root: Path, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Table:
    twice = {name for name in table.column_names if table.column_names.count(name) > 1 or name == SOURCE}
    if twice:
        raise DatasetError(
            f"{path}: column {', '.join(sorted(twice))} stands there twice; accepted: each once; rename it"
        )
    rows = pa.array(numbers).cast(pa.string())
    place = pc.binary_join_element_wise(f"{path.relative_to(root)} row ", rows, "")
    return table.replace_schema_metadata(None).append_column(SOURCE, place)


def _decoded(table: pa.Table, sieve: Sieve) -> pa.Table:
    """Bytes of CSV, and Parquet's strings (which it does not check), as valid strings."""
    for index, name in enumerate(table.column_names):
        if table[name].type not in (pa.binary(), pa.string(), pa.large_string()):
            continue
        try:
            texts = table[name].cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            raw = table[name].cast(pa.binary())
            bad = pa.chunked_array([pa.array([not _is_utf8(value) for value in raw.to_pylist()], pa.bool_())])
            table = table.set_column(index, name, raw)
            key = sieve.key if name != sieve.key else SOURCE
            table = Sieve(sieve.table, key, sieve.rejected).reject(table, bad, "bad_encoding", column=name, remedy=UTF8)
            texts = table[name].cast(pa.string())
        table = table.set_column(index, name, texts)
    return table


def _is_utf8(value: bytes | None) -> bool:
    try:
        return value is None or value.decode() is not None
    except UnicodeDecodeError:
        return False


def _unreadable(path: Path, kind: str, error: Exception) -> DatasetError:
    return DatasetError(f"{path}: not readable as {kind}: {str(error).splitlines()[0]}; write the file anew")
