import importlib.util
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.kit import stripes
from training.data.dataset import prepare
from training.fit.fit import fit
from training.fit.workers import Share, fit_on, jobs_of, left_of, share_of, work
from training.run.folder import Run, Source

SHORT = replace(
    stripes.CONFIG, members=(replace(stripes.FROZEN, epochs=2), replace(stripes.WHOLE, epochs=1, dropout=0.2))
)
FROZEN, WHOLE = SHORT.members


@pytest.fixture
def run(tiny_source: Source, tmp_path: Path) -> Run:
    run = Run.start(tmp_path / "run", SHORT, tiny_source)
    prepare(run)
    return run


def test_folds_that_share_features_stay_together_and_finished_ones_are_left_out(run: Run) -> None:
    assert [(job.member, job.folds) for job in jobs_of(run)] == [
        (FROZEN, (0, 1)),
        (WHOLE, (0,)),
        (WHOLE, (1,)),
    ]
    for member, fold in ((FROZEN, 0), (WHOLE, 0), (WHOLE, 1)):
        path = run.fit_path(member.name, fold)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [str(job) for job in left_of(run, jobs_of(run))] == ["test_resnet, fold 1 2"]


@pytest.mark.parametrize(
    ("nodes", "jobs", "share"),
    [
        ([{"CPU": 2}], 15, Share(0, 1)),
        ([{"CPU": 64}], 4, Share(0, 16)),
        ([{"CPU": 8}, {"CPU": 8}], 1, Share(0, 8)),  # no job spans machines
        ([{"CPU": 16, "GPU": 2}], 15, Share(1, 8)),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 64}], 1, Share(1, 16)),  # processors beside a GPU
    ],
)
def test_jobs_share_the_machines_without_crowding(
    nodes: list[dict[str, float]], jobs: int, share: Share
) -> None:
    assert share_of(nodes, jobs) == share


def test_a_cluster_without_processors_is_refused() -> None:
    with pytest.raises(ValueError, match="--num-cpus"):
        share_of([], 1)


def test_without_ray_the_error_names_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="install the extra `ray`"):
        fit_on(run, "ray")


def test_a_machine_that_does_not_see_the_folder_says_so(run: Run, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    elsewhere = replace(run, folder=tmp_path / "elsewhere")
    assert "file system that all machines" in str(work(elsewhere, jobs_of(run)[0], threads))
    other = Run.start(tmp_path / "other", replace(SHORT, seed=1), run.source)
    assert "file system that all machines" in str(
        work(replace(run, folder=other.folder), jobs_of(run)[0], threads)
    )


@pytest.fixture
def cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """A Ray cluster on this machine alone, with room for two jobs.

    `capfd` outlives the cluster: until the cluster ends, a thread of Ray's prints what workers say.
    """
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray, the extra `ray`")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the new way; the old one warns
    token = tmp_path / "token"  # Ray would write one to the home folder
    token.write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]))
    import ray

    ray.init(
        address="local",  # whatever cluster runs on this machine
        num_cpus=2,
        include_dashboard=False,
        _node_ip_address="127.0.0.1",
        object_store_memory=80 << 20,
    )
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Ray's own pipes to its processes
def test_workers_end_with_the_weights_of_one_after_another_and_name_who_failed(
    run: Run, tiny_source: Source, tmp_path: Path, cluster: None, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = stripes.copy_of(run, tmp_path / "alone")
    fit(alone)
    in_the_way = run.folder / "logs" / WHOLE.name / "fold1"  # a file where a folder should be
    in_the_way.parent.mkdir(parents=True)
    in_the_way.touch()
    with pytest.raises(ValueError, match=r"1 of 3 fits failed.*\n  test_byobnet, fold 2: "):
        fit_on(run, "ray")
    assert [str(job) for job in left_of(run, jobs_of(run))] == ["test_byobnet, fold 2"]
    in_the_way.unlink()
    fit_on(run, "ray")
    for member in SHORT.members:
        for fold in range(SHORT.folds):
            first, second = (load_file(r.need_fit(member.name, fold)) for r in (alone, run))
            assert [name for name in first if not torch.equal(first[name], second[name])] == []
    captured = capfd.readouterr()
    assert "fit test_byobnet, fold 1 of 2, loss" in captured.out + captured.err
