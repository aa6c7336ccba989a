"""One Ray cluster of two nodes on this machine, which tests share: it takes seconds to start."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.contract.errors import SettingsError
from service.offline.bulk import cluster, scoring
from service.offline.bulk.scorer import OpenBundle
from service.offline.bulk.scoring import Job, begun
from service.settings import Settings
from tests.kit.bulk import OpenFragile
from tests.kit.fakes import BLACK, picture
from tests.service.offline.bulk.test_scoring import files, scored


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Two nodes; workers find the same modules as the tests."""
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_UV_RUN_RUNTIME_ENV", "RAY_DEDUP_LOGS"):
            patch.setenv(name, "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_worker_niceness", "0")  # of 15, on a busy machine they would starve
        patch.setenv(
            "PYTHONPATH",
            os.pathsep.join(
                [str(Path(__file__).parents[4]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
            ),
        )
        import ray
        from ray.cluster_utils import Cluster

        found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        found.add_node(num_cpus=1)
        ray.init(address=found.address, logging_level=logging.ERROR, log_to_driver=False)
        yield found
        ray.shutdown()
        found.shutdown()  # type: ignore[no-untyped-call]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_nodes_write_what_one_machine_writes(
    nodes: Any,  # noqa: ANN401
    settings: Settings,
    chips: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []

    def noted(settings: Settings, all_members: bool) -> OpenBundle:
        threads.append(settings.threads)
        return OpenBundle(settings, all_members)

    monkeypatch.setattr(scoring, "OpenBundle", noted)
    # More processes than there is room for.
    job = Job(source=str(chips), out=tmp_path / "cluster", settings=settings, part=7, ray=True, processes=3)
    with begun(job) as run:
        assert len(list(run.rows())) == 40
    assert threads == [1]  # of the processor that each node has
    monkeypatch.undo()
    assert files(job.out) == files(scored(chips, tmp_path / "local", settings))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_chip_that_ends_actors_costs_no_other_chip(
    nodes: Any,  # noqa: ANN401
    settings: Settings,
    chips: Path,
    tmp_path: Path,
) -> None:
    picture(BLACK).save(tmp_path / "black.png")
    (tmp_path / "list.csv").write_text(f"path\n{chips}/00.png\nblack.png\n{chips}/02.png\n")
    job = Job(source=str(tmp_path / "list.csv"), out=tmp_path / "out", settings=settings, ray=True)
    with begun(job) as run:
        rows = list(run.rows(OpenFragile(settings)))
    assert [row.verdict is None for row in rows] == [False, True, False]
    assert "exit status 9" in rows[1].reason


@pytest.mark.parametrize(
    ("nodes", "device", "share"),
    [
        ([{"CPU": 1}, {"CPU": 1}], "cpu", cluster.Share(0.5, 0, 1, 1, 2)),
        ([{"CPU": 2}], "auto", cluster.Share(1, 0, 2, 1, 1)),
        ([{"CPU": 64}, {"CPU": 32}, {}], "cpu", cluster.Share(7, 0, 8, 1, 12)),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 16}], "auto", cluster.Share(0.5, 1, 8, 1, 2)),
    ],
)
def test_processors_and_gpus_are_shared_out(
    nodes: list[dict[str, float]], device: str, share: cluster.Share
) -> None:
    assert cluster.share_of(nodes, Settings(device=device), 0) == share


def test_actors_that_are_asked_for_are_there_as_soon_as_there_is_room() -> None:
    found = [cluster.share_of([{"CPU": 32}], Settings(device="cpu"), actors) for actors in (3, 9)]
    assert found == [cluster.Share(7, 0, 8, 3, 3), cluster.Share(7, 0, 8, 4, 9)]


def test_a_cluster_without_processors_is_refused() -> None:
    with pytest.raises(SettingsError, match="--num-cpus"):
        cluster.share_of([{}], Settings(), 0)
    with pytest.raises(SettingsError, match="--num-gpus"):
        cluster.share_of([{"CPU": 4}], Settings(device="cuda"), 0)
