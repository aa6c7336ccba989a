"""Which trained networks become members of the bundle, and their checked graphs.

Finished members are kept in the run's folder, so an interrupted export goes on.

Shape suffixes: B chips, H height, W width, C bands, L labels, N chips.
"""

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel

from service.contract.bundle import reference
from service.contract.files import atomic_write
from service.contract.manifest import Graph, Member, Precision
from service.contract.rules import Vote
from training.config.schema import CACHED, MemberConfig
from training.data.dataset import Dataset, input_spec
from training.decision.rule import TunedRule
from training.export import graphs
from training.export.parity import check_graph, torch_answers
from training.fit.checkpoints import read_fit
from training.fit.features import BACKBONE, check_backbone
from training.network.model import ExportNet, member_net
from training.run.folder import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedMember:
    """One member of the bundle to be."""

    name: str
    config: MemberConfig
    folds: tuple[int, ...]  # one, or all whose weights are averaged
    thresholds: tuple[float, ...]  # at which its graphs are compared with PyTorch


class _Record(BaseModel):
    """A finished member as the run's folder keeps it."""

    member: Member
    thresholds: tuple[float, ...]


def plan_members(run: Run, tuned: TunedRule) -> list[PlannedMember]:
    """List the members: one per architecture and fold, or one per architecture."""
    planned = []
    folds = range(run.config.folds)
    for config, thresholds in zip(run.config.members, check_thresholds(run, tuned), strict=True):
        name = config.name
        if run.config.fold_members == "averaged":
            planned.append(PlannedMember(name, config, tuple(folds), thresholds))
        else:
            planned += [PlannedMember(f"{name}-fold{f}", config, (f,), thresholds) for f in folds]
    return planned


def check_thresholds(run: Run, tuned: TunedRule) -> tuple[tuple[float, ...], ...]:
    """Return a row of thresholds per architecture, at which a change of its probabilities counts.

    They are the tuned ones in a vote, and the prior where the rule has none for a single member.
    """
    if isinstance(tuned.rule, Vote):
        return tuned.rule.thresholds
    return ((run.config.decision.prior,) * tuned.rule.labels,) * len(run.config.members)


def finished_member(run: Run, planned: PlannedMember, dataset: Dataset) -> Member:
    """Return the member, its graphs written and checked under `members/` of the run's folder.

    Raises:
        ValueError: a graph does not answer like PyTorch.
    """
    folder = run.folder / "members"
    record = folder / f"{planned.name}.json"
    if run.is_fresh(record, [run.need_fit(planned.config.name, fold) for fold in planned.folds]):
        kept = _Record.model_validate_json(record.read_bytes())
        member = kept.member
        files = [graph.file for graph in member.graphs.values()]
        whole = all((folder / file.path).exists() and reference(folder, file.path) == file for file in files)
        if whole and kept.thresholds == planned.thresholds:
            return member
    folder.mkdir(exist_ok=True)
    member = Member(
        name=planned.name,
        architecture=planned.config.architecture,
        graphs=_write_graphs(run, planned, dataset, folder),
    )
    with atomic_write(record) as partial:
        finished = _Record(member=member, thresholds=planned.thresholds)
        partial.write_text(finished.model_dump_json(indent=1), encoding="utf-8")
    return member


def spread(total: int, wanted: int) -> npt.NDArray[np.int64]:
    """Return at most `wanted` row numbers, evenly spread over 0..total-1."""
    return np.unique(np.linspace(0, total - 1, min(wanted, total)).astype(np.int64))


def served_network(run: Run, planned: PlannedMember, dataset: Dataset) -> ExportNet:
    """Return the network as it is served, with its trained weights, the mean of its folds'."""
    config = planned.config
    states = [read_fit(run, config.name, fold) for fold in planned.folds]
    frozen = config.freeze in CACHED
    net = member_net(run, config, dataset, pretrained=frozen)
    if frozen:
        check_backbone(net, run.folder / "features" / config.name / BACKBONE)
    mean = {key: torch.stack([state[key].float() for state in states]).mean(dim=0) for key in states[0]}
    unknown = net.load_state_dict(mean, strict=not frozen).unexpected_keys
    assert not unknown, unknown  # what is frozen is lacking, and that is all
    return ExportNet(net, dataset.labels, config.exclusive, run.config.graph_views).eval()


def _write_graphs(run: Run, planned: PlannedMember, dataset: Dataset, folder: Path) -> dict[Precision, Graph]:
    net = served_network(run, planned, dataset)
    # One fold's network is checked on chips it has not seen; a mean of all folds has seen them all.
    unseen_N = np.flatnonzero(dataset.folds_N == planned.folds[0])
    candidates_N = unseen_N if len(planned.folds) == 1 else np.arange(len(dataset))
    rows_B = candidates_N[spread(len(candidates_N), run.config.check_chips)]
    chips_BHWC = dataset.chips_NHWC[rows_B]
    expected = torch_answers(net, chips_BHWC)
    calibration_BHWC = dataset.chips_NHWC[spread(len(dataset), run.config.calibration_chips)]
    written: dict[Precision, Graph] = {}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        float32 = Path(scratch) / "float32.onnx"
        log.info("%s: export, about a minute", planned.name)
        graphs.write_float32(net, input_spec(run), float32)
        for precision in run.config.precisions:
            path = folder / f"{planned.name}.{precision}.onnx"
            with atomic_write(path) as partial:
                graphs.convert(float32, precision, partial, calibration_BHWC)
                check = check_graph(
                    partial,
                    precision,
                    expected,
                    chips_BHWC,
                    dataset.targets_NL[rows_B],
                    np.array(planned.thresholds, np.float32),
                )
            log.info(
                "%s: probabilities within %.2g of PyTorch's, F2 %+.4f, on %d chips",
                path.name,
                check.max_probability_difference,
                check.sample_f2_change,
                check.chips,
            )
            # `convert` has checked every int8 graph that it wrote.
            file, bounded = reference(folder, path.name), precision == "int8"
            written[precision] = Graph(file=file, check=check, bounded=bounded)
    return written
