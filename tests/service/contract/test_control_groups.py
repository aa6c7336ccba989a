from pathlib import Path

from service.contract.control_groups import folders, lines


def test_the_groups_of_this_process_and_all_above_are_asked(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("5:memory:/pods/one\n4:cpu,cpuacct:/pods/two\n0::/unified/three\n")
    mounted = tmp_path / "groups"

    def found(controller: str) -> list[str]:
        return [str(folder.relative_to(mounted)) for folder in folders(controller, mounted, own)]

    unified = ["unified/three", "unified", "."]
    assert found("memory") == [*unified, "memory/pods/one", "memory/pods", "memory"]
    cpu = [f"{mount}{path}" for mount in ("cpu", "cpu,cpuacct") for path in ("/pods/two", "/pods", "")]
    assert found("cpu") == [*unified, *cpu]


def test_where_nothing_can_be_read_there_are_no_lines(tmp_path: Path) -> None:
    assert lines(tmp_path / "none") == []
    assert next(folders("cpu", tmp_path, tmp_path / "none")) == tmp_path
