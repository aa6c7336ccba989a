"""Two tiny networks trained on striped chips: a run that takes seconds.

One network trains whole and resizes, the other is frozen and does not. Their "ImageNet"
weights are random, in files as timm would load them.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file

from service.contract.bundle import Bundle
from tests.kit import stripes
from tests.kit.stripes import CONFIG, FROZEN, LABELS, WHOLE, copy_of
from training.config.schema import MemberConfig
from training.data import dataset
from training.data.dataset import Dataset
from training.decision import tune
from training.evaluation import evaluate
from training.export import export
from training.fit import fit, predict
from training.network.model import ChipNet, ExportNet, member_net
from training.run.folder import Run, Source

# The networks are too small to share out: threads would only wait for each other.
torch.set_num_threads(1)


def write_weights(
    folder: Path, seed: int = 0, architectures: Sequence[str] = (FROZEN.architecture, WHOLE.architecture)
) -> Path:
    """Save a random network of each tiny architecture under the names that `--weights` wants."""
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for architecture in architectures:
            network = timm.create_model(architecture)
            save_file(network.state_dict(), folder / f"{architecture}.safetensors")
    return folder


@cache
def source(base: Path) -> Source:
    """The striped chips and the weights, written once under `base`, as all below."""
    return replace(stripes.source(base), weights=write_weights(base / "weights"))


@cache
def trained(base: Path) -> Run:
    """The tiny run with every stage done but the export."""
    run = Run.start(base / "trained", CONFIG, source(base))
    dataset.prepare(run)
    fit.fit(run)
    predict.predict(run)
    tune.tune(run)
    evaluate.evaluate(run)
    return run


@cache
def exported(base: Path) -> tuple[Run, Bundle]:
    """The tiny run with its bundle."""
    run = copy_of(trained(base), base / "exported")
    return run, export.export(run, name="tiny", version="0.0.1")


def fresh_net(run: Run, member: MemberConfig) -> ChipNet:
    """A member's network with the tiny "ImageNet" weights."""
    return member_net(run, member, dataset.open_dataset(run), pretrained=True).eval()


def network_of(run: Run, member: MemberConfig, folds: Sequence[int]) -> ChipNet:
    """A trained network, the mean of some folds' weights, built independently of the code."""
    net = fresh_net(run, member)
    states = [load_file(run.need_fit(member.name, fold)) for fold in folds]
    mean = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    net.load_state_dict(mean, strict=member.freeze == "none")
    return net


def served(net: ChipNet) -> ExportNet:
    """The network as it is exported."""
    return ExportNet(net, LABELS, ()).eval()


def fitted(run: Run, member: MemberConfig, data: Dataset) -> dict[str, torch.Tensor]:
    """Fit a member without its first fold alone; return what it keeps."""
    path = run.fit_path(member.name, 0)
    for fold in range(1, run.config.folds):
        path.parent.mkdir(parents=True, exist_ok=True)
        run.fit_path(member.name, fold).touch()  # counts as fitted
    fit.fit_member(run, member, data)
    return load_file(path)
