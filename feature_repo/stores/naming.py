"""Names in DuckDB's SQL."""


def quoted(name: str) -> str:
    """A column's name as an identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'
