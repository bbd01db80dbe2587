"""Names and texts in DuckDB's SQL."""


def quoted(name: str) -> str:
    """A column's name as an identifier, whatever it holds."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """What a value reads as, as a string."""
    return "'" + str(text).replace("'", "''") + "'"
