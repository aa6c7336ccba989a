import os
from pathlib import Path

import pytest

from service.contract.processors import processor_kind, processors


@pytest.fixture(autouse=True)
def four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


def write(folder: Path, **files: str) -> None:
    """Write a control group's files; the first _ of a name stands for its point."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text)


def counted(folder: Path, groups: str = "0::/\n") -> int:
    """What `processors` says with control groups in `folder` and the process in `groups`."""
    own = folder / "own"
    own.write_text(groups)
    return processors(folder, own)


@pytest.mark.parametrize(
    ("quota_us", "period_us", "expected"),
    [
        ("max", "100000", 4),
        ("-1", "100000", 4),
        ("400000", "100000", 4),
        ("900000", "100000", 4),
        ("200000", "100000", 2),
        ("150000", "100000", 2),
        ("50000", "100000", 1),
        ("10000", "100000", 1),
        ("100000", "50000", 2),
        # None of these is a quota.
        ("", "", 4),
        ("50000", "", 4),
        ("50000", "0", 4),
        ("50000", "-100000", 4),
        ("0", "100000", 4),
        ("half", "100000", 4),
        ("50000 100000", "100000", 4),
    ],
)
@pytest.mark.parametrize("mount", ["version 2", "cpu", "cpu,cpuacct"])
def test_a_containers_quota_bounds_the_processors(
    tmp_path: Path, mount: str, quota_us: str, period_us: str, expected: int
) -> None:
    if mount == "version 2":
        write(tmp_path, cpu_max=f"{quota_us} {period_us}\n")
    else:
        write(tmp_path / mount, cpu_cfs_quota_us=f"{quota_us}\n", cpu_cfs_period_us=f"{period_us}\n")
    assert counted(tmp_path) == expected


def test_the_tightest_of_nested_groups_counts(tmp_path: Path) -> None:
    service = tmp_path / "system.slice/chipvote.service"
    write(service, cpu_max="300000 100000")
    assert counted(tmp_path, "0::/system.slice/chipvote.service\n") == 3
    write(service.parent, cpu_max="200000 100000")
    assert counted(tmp_path, "0::/system.slice/chipvote.service\n") == 2
    write(service.parent, cpu_max="max 100000")
    write(tmp_path, cpu_max="100000 100000")
    assert counted(tmp_path, "0::/system.slice/chipvote.service\n") == 1


def test_groups_of_others_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "system.slice/other.service", cpu_max="100000 100000")
    write(tmp_path / "cpu/memory-group", cpu_cfs_quota_us="100000", cpu_cfs_period_us="100000")
    groups = "5:memory:/memory-group\n4:cpuset:/memory-group\n1:name=systemd:/memory-group\n3:cpu:/\n"
    assert counted(tmp_path, f"{groups}0::/system.slice/chipvote.service\n") == 4


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
def test_nested_groups_of_version_1(tmp_path: Path, controllers: str) -> None:
    write(
        tmp_path / "cpu,cpuacct/docker/abc", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000"
    )  # as its parent
    write(tmp_path / "cpu,cpuacct/docker", cpu_cfs_quota_us="200000", cpu_cfs_period_us="100000")
    assert counted(tmp_path, f"7:memory:/\n4:{controllers}:/docker/abc\n0::/\n") == 2


def test_a_container_that_knows_its_name_outside_sees_its_group_as_the_root(tmp_path: Path) -> None:
    write(tmp_path / "cpu", cpu_cfs_quota_us="50000", cpu_cfs_period_us="100000")
    assert counted(tmp_path, "4:cpu,cpuacct:/kubepods/burstable/pod1/abc\n") == 1
    assert counted(tmp_path, "4:cpu:/../../elsewhere\n0::/../../elsewhere\n") == 1


@pytest.mark.parametrize(
    "groups", ["", "nonsense\n", "::\n", "4:cpu\n0::/\n", "\x00:cpu:/\x00\n", "0::/..\n"]
)
def test_odd_groups_leave_the_root(tmp_path: Path, groups: str) -> None:
    write(tmp_path, cpu_max="200000 100000")
    assert counted(tmp_path, groups) == 2


def test_files_that_are_none_are_no_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").mkdir()
    (tmp_path / "cpu").write_bytes(b"\xff")
    assert counted(tmp_path) == 4


def test_a_quota_beyond_numbers_is_none(tmp_path: Path) -> None:
    write(tmp_path, cpu_max=f"{'9' * 400} 1")
    assert counted(tmp_path) == 4


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert processors(tmp_path / "nothing", tmp_path / "none") == 4


XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni amx_bf16 amx_int8 avx_vnni avx512_bf16
bugs\t\t:

processor\t: 1
model name\t: Other
flags\t\t: fpu
"""
GRAVITON = """\
processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd crc32 asimddp sve i8mm bf16
CPU implementer\t: 0x41
"""


def test_the_kind_tells_model_and_instructions(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(XEON)
    assert processor_kind(cpuinfo) == (
        "Intel(R) Xeon(R) Platinum 8488C (avx2 avx512f avx_vnni avx512_vnni avx512_bf16 amx_int8 amx_bf16)"
    )
    cpuinfo.write_text("model name\t: AMD EPYC\nflags\t: sse2 avx avx2\n")
    assert processor_kind(cpuinfo) == "AMD EPYC (avx2)"
    cpuinfo.write_text(GRAVITON)
    assert processor_kind(cpuinfo).endswith(" (asimddp i8mm bf16 sve)")


def test_where_nothing_is_told_the_kind_is_still_a_line(tmp_path: Path) -> None:
    assert processor_kind(tmp_path / "nothing").endswith(" (no vector instructions known)")


def test_the_test_run_says_it(request: pytest.FixtureRequest) -> None:
    header = request.config.hook.pytest_report_header(config=request.config, start_path=Path())
    assert f"processor: 4 × {processor_kind()}" in header
