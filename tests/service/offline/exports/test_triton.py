import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.contract.bundle import Bundle, load
from service.contract.errors import DeviceError, SettingsError
from service.contract.manifest import Pixel
from service.contract.rules import Blend, Cooccurrence, ExpectedF, Rule
from service.offline.exports.triton import write_repository
from tests.kit.console import chipvote
from tests.kit.fakes import MEMBERS, make_bundle
from tests.kit.serving import DEFAULT_BUNDLE
from tests.kit.triton import infer, places, triton

RNG = np.random.default_rng(0)
PULLS = ((0.5, -0.2, 0.1, 0.0), (0.3, 0.4, -0.3, 0.1), (0.0, 0.2, 0.7, -0.4), (-0.1, 0.3, 0.2, 0.4))
RULES: dict[str, Rule] = {
    "blend": Blend(
        coefficients=(PULLS, PULLS[::-1], PULLS),
        intercepts=(0.1, 0.2, 0.0, -0.3),
        thresholds=(0.5, 0.25, 0.125, 0.5),
    ),
    "expected-f": ExpectedF(
        beta=2.0,
        weights=((2,) * 4, (1,) * 4, (1,) * 4),
        knots=(((0.0, 0.0), (0.4, 0.5), (1.0, 0.9)),) * 4,
        cooccurrence=Cooccurrence(exclusive=((0, 1),), alone=(3,)),
    ),
}


def contents(folder: Path) -> dict[str, str]:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A Triton with the default bundle, and with the votes of other rules."""
    places()
    folder = tmp_path_factory.mktemp("triton")
    write_repository(load(DEFAULT_BUNDLE), folder / "whole", backend="python")
    for name, rule in RULES.items():
        write_repository(make_bundle(folder / f"bundle-{name}", rule=rule), folder / name, name=name)
        (folder / name / f"{name}_vote").rename(folder / "whole" / f"{name}_vote")
    with triton(folder, folder / "whole") as connected:
        yield connected


def test_triton_decides_as_the_command_does(
    client: httpx2.Client,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chips_BHWC = save_chips(load(DEFAULT_BUNDLE).golden.chips_GHWC, tmp_path)
    found = infer(client, "chipvote", {"chips": chips_BHWC})
    for name, value in (("DEVICE", "cpu"), ("PRECISION", "int8"), ("THREADS", "1")):
        monkeypatch.setenv(f"CHIPVOTE_{name}", value)
    assert chipvote("predict", "--json", "--all-members", "--bundle", DEFAULT_BUNDLE, tmp_path) == 0
    scores = [answer["scores"] for answer in json.loads(capsys.readouterr().out)["predictions"]]
    of = {key: [[score[key] for score in row] for row in scores] for key in scores[0][0]}
    assert found["labels"].tolist() == of["predicted"]
    assert found["votes"].tolist() == of["votes"]
    assert found["probabilities"].round(6).tolist() == of["probability"]
    assert found["labels"].any()


def save_chips(golden_GHWC: npt.NDArray[Pixel], folder: Path) -> npt.NDArray[np.uint8]:
    """Put golden chips and mixtures of them into a folder, as PNG files; return them in order."""
    shares = RNG.dirichlet(np.ones(len(golden_GHWC)), 8)
    mixed_BHWC = np.tensordot(shares, golden_GHWC, axes=1)
    chips_BHWC = np.concatenate([golden_GHWC, mixed_BHWC]).astype(np.uint8)
    for index, chip_HWC in enumerate(chips_BHWC):
        Image.fromarray(chip_HWC).save(folder / f"{index:02}.png")
    return chips_BHWC


@pytest.mark.parametrize("name", RULES)
def test_triton_decides_by_every_rule_bit_for_bit(name: str, client: httpx2.Client) -> None:
    probs_MBL = RNG.random((MEMBERS, 32, 4), np.float32)
    inputs = {f"probabilities_{index}": probs_BL for index, probs_BL in enumerate(probs_MBL)}
    found = infer(client, f"{name}_vote", inputs)
    expected = RULES[name].decider().decide(probs_MBL)
    assert found["labels"].tolist() == expected.labels_BL.tolist()
    assert found["votes"].tolist() == expected.votes_BL.tolist()
    assert found["probabilities"].tolist() == expected.probabilities_BL.tolist()
    assert found["labels"].any() and not found["labels"].all()


def test_triton_names_the_most_probable_labels(client: httpx2.Client) -> None:
    probs_BL = [[0.1, 0.9, 0.2, 0.3]]
    tensor = {"shape": [1, 4], "datatype": "FP32", "data": probs_BL}
    best_two = {"name": "probabilities", "parameters": {"classification": 2}}
    answer = client.post(
        "/v2/models/expected-f_vote/infer",
        json={
            "inputs": [{"name": f"probabilities_{index}", **tensor} for index in range(MEMBERS)],
            "outputs": [best_two],
        },
    )
    (best,) = answer.json()["outputs"]
    assert [text.split(":")[2] for text in best["data"]] == ["greenish", "dark"]


def test_a_repository_has_the_graphs_as_they_are_and_is_the_same_every_time(
    colours: Bundle, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()  # an empty folder may be there
        assert write_repository(colours, tmp_path / name, backend="python") == "float32"
    written = contents(tmp_path / "a")
    assert written == contents(tmp_path / "b")
    for index, member in enumerate(colours.manifest.members):
        graph = member.graphs["float32"].file.sha256
        assert written[f"chipvote_member_{index}/1/model.onnx"] == graph
    assert (tmp_path / "a/chipvote/labels.txt").read_text().split() == colours.label_names
    assert (tmp_path / "a").stat().st_mode & 0o055 == 0o055  # Triton may run as another user


def test_a_repository_for_tritons_own_backend_has_no_code_for_members(
    colours: Bundle, tmp_path: Path
) -> None:
    write_repository(colours, tmp_path / "repository")
    code = sorted(file.relative_to(tmp_path / "repository").parts[0] for file in tmp_path.rglob("*.py"))
    assert set(code) == {"chipvote_vote"}


def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    whole = make_bundle(tmp_path / "whole", precisions=("float32", "int8"))
    eight = make_bundle(tmp_path / "eight", precisions=("int8",))
    out = tmp_path / "out" / "repository"
    with pytest.raises(SettingsError, match="has float32, int8; name one"):
        write_repository(whole, out, precision="float16")
    with pytest.raises(SettingsError, match="weights of member0, member1, member2 are not bounded"):
        write_repository(whole, out)
    with pytest.raises(DeviceError, match="a GPU runs float16 and float32 only"):
        write_repository(eight, out, device="cuda")
    with pytest.raises(SettingsError, match="on the CPU"):
        write_repository(whole, out, backend="python", device="cuda")
    with pytest.raises(SettingsError, match="no name of a folder"):
        write_repository(whole, out, name="../up")
    assert not out.parent.exists() or not any(out.parent.iterdir())
    assert write_repository(whole, out, precision="float32") == "float32"
    with pytest.raises(SettingsError, match="not empty"):
        write_repository(whole, out)
    assert [folder.name for folder in out.parent.iterdir()] == ["repository"]
