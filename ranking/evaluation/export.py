"""The evaluation's raw material as Parquet, so that anyone can measure it again with other tools."""

from pathlib import Path

import pyarrow.parquet as pq

from ranking.evaluation.warehouse import Warehouse


def export(warehouse: Warehouse, folder: Path) -> list[Path]:
    """Write PROTOCOL/split.parquet and PROTOCOL/MODEL.parquet; gives the files written.

    split: user_id, item_id, occurred_at, relevant, part (train or test); the test part is that of the users whom the
    headline averages over. MODEL: user_id, item_id, rank from 1, score; top 200, items of the training part left out.
    """
    written: list[Path] = []
    for row in warehouse.read("models").to_pylist():
        protocol = {"protocol": row["protocol"]}
        target = folder / row["protocol"]
        if target not in {path.parent for path in written}:
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(warehouse.read("export_split", protocol), target / "split.parquet")
            written.append(target / "split.parquet")
        path = target / f"{row['model']}.parquet"
        pq.write_table(warehouse.read("export_ranking", {**protocol, "model": row["model"]}), path)
        written.append(path)
    return written
