from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from service.answers.layers.rows import Legend
from service.engine.verdict import Verdict
from service.offline.bulk.copies import Copies, First
from service.offline.bulk.rows import Row, labels

LEGEND = Legend("colours", "1.2.3", ("reddish", "greenish"))
ONE = Row("a.png", "/a.png", "0a", Verdict([0.75, 0.25], [3, 0], [True, False], 3))
OTHER = Row("b.png", "/b.png", "0a", Verdict([0.5, 0.25], [2, 0], [True, False], 2))


def test_what_comes_again_is_marked_and_answered_as_it_was(tmp_path: Path) -> None:
    copies = Copies(tmp_path / "copies")
    assert copies.first("0a") is None
    assert copies.marked(ONE) == ONE
    assert copies.marked(OTHER) == OTHER._replace(duplicate_of="a.png", verdict=ONE.verdict)
    assert copies.marked(OTHER._replace(digest="0b")).duplicate_of is None
    beside = Copies(tmp_path / "copies")  # as another process has it
    assert ONE.verdict and beside.first("0a") == First("a.png", ONE.verdict)
    beside.close()
    copies.close()


def test_errors_have_no_copies(tmp_path: Path) -> None:
    copies = Copies(tmp_path / "copies")
    bad = Row("a.png", "/a.png", "0a", title="Corrupt", reason="it is")
    assert copies.marked(bad) == copies.marked(bad) == bad
    assert copies.first("0a") is None
    copies.close()


def test_what_parts_say_is_known(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_batches([labels([ONE], LEGEND)]), tmp_path / "part.parquet")
    copies = Copies(tmp_path / "copies")
    copies.learn([tmp_path / "part.parquet"], LEGEND)
    assert ONE.verdict and copies.first("0a") == First("a.png", ONE.verdict)
    copies.close()
