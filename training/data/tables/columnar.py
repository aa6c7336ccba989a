"""Parquet → `Table`, where pyarrow is installed."""

from pathlib import Path

from training.data.tables.table import Row, Table


def read_columnar(path: Path) -> Table:
    """Read a Parquet file: a name and a list of labels, or a column for each label.

    Raises:
        ValueError: pyarrow is not installed, or it cannot read the file.
    """
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import read_table
    except ImportError:
        raise ValueError(
            f"{path}: Parquet is read by pyarrow; pip install 'chipvote[parquet]', or save it as CSV"
        ) from None
    try:
        table = read_table(path)
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: is no Parquet that can be read ({error})") from None
    columns = [column.to_pylist() for column in table.columns]
    rows = [
        Row(f"{path}, row {number}", list(cells))
        for number, cells in enumerate(zip(*columns, strict=True), 1)
    ]
    return Table(path, "Parquet", list(table.column_names), rows)
