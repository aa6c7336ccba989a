import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from service.offline.bulk import plan
from service.offline.bulk.errors import PlanError
from service.offline.bulk.inputs import Item
from service.offline.bulk.plan import INPUTS, Plan

PLAN = Plan(
    bundle="colours 1.2.3", seal="0" * 64, members="all", precision="auto", part=3, chips=7, inputs="1" * 64
)


def test_inputs_are_written_in_parts_and_read_back(tmp_path: Path) -> None:
    written = [
        Item(f"{n}.png", f"/chips/{n}.png", n, None if n % 2 else n, "" if n else "no chip") for n in range(6)
    ]
    written.append(Item("caf\udce9.png", "/chips/caf\udce9.png"))  # a name that is no UTF-8
    with plan.listed(iter(written), tmp_path, 3) as (count, digest):
        assert not (tmp_path / INPUTS).exists()  # nobody has said yet that they are the plan's
    with pq.ParquetFile(tmp_path / INPUTS) as file:
        assert [plan.inputs_of(file, number) for number in range(3)] == [
            written[:3],
            written[3:6],
            written[6:],
        ]
    assert count == 7
    others = [reversed(written), [item._replace(address=f"/other{item.address}") for item in written]]
    for items in others:
        with pytest.raises(PlanError), plan.listed(items, tmp_path, 3) as (_, other):
            assert other != digest
            raise PlanError
    with pq.ParquetFile(tmp_path / INPUTS) as file:
        assert plan.inputs_of(file, 0) == written[:3]


def test_what_is_signed_anew_lies_where_it_lay(tmp_path: Path) -> None:
    digests = []
    for signature in "ab":
        with plan.listed([Item("a.png", f"https://host/a.png?sig={signature}")], tmp_path, 3) as (_, digest):
            digests.append(digest)
    assert digests[0] == digests[1]
    with plan.listed([Item("a.png", "https://host/a.png?n=2&sig=a")], tmp_path, 3) as (_, other):
        assert other != digests[0]


def test_a_plan_is_read_back(tmp_path: Path) -> None:
    assert PLAN.parts == 3
    assert plan.read(PLAN.text(), tmp_path) == PLAN
    with pytest.raises(PlanError, match="no plan of this version"):
        plan.read('{"what": 1}', tmp_path)


def test_another_plan_is_refused_with_what_differs(tmp_path: Path) -> None:
    plan.settle(PLAN, PLAN, tmp_path)
    with pytest.raises(PlanError, match=r"members all \(now until decided\), chips 7 \(now 8\).*--restart"):
        plan.settle(dataclasses.replace(PLAN, members="until decided", chips=8), PLAN, tmp_path)


def test_one_run_at_a_time_writes(tmp_path: Path) -> None:
    with plan.alone(tmp_path), pytest.raises(PlanError, match="another run"), plan.alone(tmp_path):
        pass
    with plan.alone(tmp_path):
        pass


def test_an_output_that_nobody_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PlanError, match="cannot be written"), plan.alone(tmp_path / "file" / "out"):
        pass
