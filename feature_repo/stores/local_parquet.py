"""Sources whose rows lie in Parquet on this machine, so that DuckDB reads them without Feast."""

from pathlib import Path

from feast import FileSource
from feast.data_format import ParquetFormat


def local_parquet(source: object, repo_path: str) -> str | None:
    """Path of a source that is a Parquet file, or a folder of them, on this machine; None for any other source."""
    if not isinstance(source, FileSource) or not isinstance(source.file_format or ParquetFormat(), ParquetFormat):
        return None
    path: str = FileSource.get_uri_for_file_path(repo_path, source.path)
    return None if "://" in path else path


def files_of(path: str) -> str:
    """What DuckDB's `read_parquet` takes for such a path."""
    return f"{path}/**/*.parquet" if Path(path).is_dir() else path
