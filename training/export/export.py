"""Stage 5: trained networks, thresholds and scores → a bundle that the service loads.

Every graph is compared with PyTorch on real chips before it counts; a bundle without its
checks is not written.

Shape suffixes: P precisions, M members, K candidate chips, L labels.
"""

import importlib.metadata
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime

from service.contract.bundle import MANIFEST, Bundle, load, reference, seal
from service.contract.decision import Voter
from service.contract.manifest import EarlyExit, Label, Manifest, Member, Provenance
from service.contract.rules import Rule
from training.data.dataset import Dataset, known_spec, open_dataset
from training.data.out_of_fold import read_predictions
from training.decision.rule import read_rule
from training.evaluation.evaluate import read_scores
from training.export.early_exit import CHIPS, plan_early_exit
from training.export.golden import candidates, most_decided
from training.export.members import finished_member, plan_members, spread
from training.export.model_card import render
from training.export.parity import graph_answers
from training.run.folder import EVALUATION, OUT_OF_FOLD, REPORT, SHIPPED_REPORT, Run
from training.run.progress import track

log = logging.getLogger(__name__)
PACKAGES = ("torch", "timm", "lightning", "onnx", "numpy", "pillow")


def export(run: Run, *, name: str, version: str) -> Bundle:
    """Write the bundle to `bundle/` of the run's folder and return it as the service would load it.

    Raises:
        ValueError: a graph does not answer like PyTorch; no bundle is written.
    """
    dataset = open_dataset(run)
    tuned = read_rule(run)
    planned = plan_members(run, tuned)
    members = tuple(finished_member(run, p, dataset) for p in track(planned, "export members", len(planned)))
    rule = tuned.for_members(len(planned) // len(run.config.members))
    folder = run.folder / "bundle-partial"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for member in members:
        for graph in member.graphs.values():
            shutil.copyfile(run.folder / "members" / graph.file.path, folder / graph.file.path)
    _write_golden(run, dataset, folder, members, rule)
    _write_out_of_fold(run, folder, dataset)
    scores = read_scores(run)
    manifest = Manifest(
        name=name,
        version=version,
        description=run.config.about.description,
        input=known_spec(run, dataset),
        labels=_labels(dataset),
        members=members,
        decision=rule,
        early_exit=_early_exit(run, folder, members, rule, dataset),
        golden=reference(folder, "golden.npz"),
        out_of_fold=reference(folder, OUT_OF_FOLD),
        scores=scores["cross-fitted"],
        provenance=_provenance(run, dataset),
    )
    card = render(manifest, scores["in-sample"], dataset.blank)
    (folder / "README.md").write_text(card, encoding="utf-8")
    if run.is_fresh(run.folder / SHIPPED_REPORT, [run.folder / EVALUATION]):
        shutil.copyfile(run.folder / SHIPPED_REPORT, folder / REPORT)
    bundle = seal(folder, manifest)
    final = run.folder / "bundle"
    shutil.rmtree(final, ignore_errors=True)
    folder.rename(final)
    size_mb = sum(file.stat().st_size for file in final.iterdir()) / 1e6
    log.info("bundle %s %s: %d members, rule %s, %.1f MB", name, version, len(members), rule.rule, size_mb)
    return replace(bundle, folder=final)


def install(bundle: Path, target: Path) -> None:
    """Verify a bundle and put it in the place of another.

    Raises:
        BundleError: the bundle is broken; the target stays as it was.
        ValueError: the target holds something that is no bundle.
    """
    load(bundle)
    if target.exists() and any(target.iterdir()) and not (target / MANIFEST).exists():
        raise ValueError(f"{target}: is not empty and no bundle; name the bundle's own folder")
    staged, old = (target.with_name(f"{state}-{target.name}") for state in ("partial", "old"))
    for leftover in (staged, old):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(bundle, staged)
    if target.exists():
        target.rename(old)
    staged.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    log.info("%s is in place", target)


def _write_golden(run: Run, dataset: Dataset, folder: Path, members: tuple[Member, ...], rule: Rule) -> None:
    chips_KHWC = candidates(known_spec(run, dataset), run.config.seed)
    decider = rule.decider()
    precisions = run.config.precisions
    jobs = [(precision, member) for precision in precisions for member in members]
    answers = [
        graph_answers(folder / member.graphs[precision].file.path, chips_KHWC)[0]
        for precision, member in track(jobs, "golden answers", len(jobs))
    ]
    probs_PMKL = np.stack(answers).reshape(len(precisions), len(members), *answers[0].shape)
    chosen_G = most_decided(probs_PMKL, decider)
    labels_GL = decider.decide(probs_PMKL[0][:, chosen_G]).labels_BL
    probs = {f"probabilities_{p}": probs_PMKL[i][:, chosen_G] for i, p in enumerate(precisions)}
    np.savez_compressed(folder / "golden.npz", chips=chips_KHWC[chosen_G], labels=labels_GL, **probs)


def _write_out_of_fold(run: Run, folder: Path, dataset: Dataset) -> None:
    """Ship what the rule was tuned on.

    Another rule, or a promise, can then be derived without training. Rows of `probs_ANL` are the
    architectures, in the members' order; those of chips have their names.
    """
    found = read_predictions(run).stored() | {"names_N": np.array(dataset.names)}
    found["folds_N"] = found["folds_N"].astype(np.uint8)
    np.savez_compressed(folder / OUT_OF_FOLD, **found)


def _early_exit(
    run: Run, folder: Path, members: tuple[Member, ...], rule: Rule, dataset: Dataset
) -> EarlyExit | None:
    voter = rule.decider()
    if not isinstance(voter, Voter):
        return None  # no other rule can stop early
    precision = max(run.config.precisions)  # what the service takes on a CPU: int8, if there
    graphs = [folder / member.graphs[precision].file.path for member in members]
    return plan_early_exit(voter, graphs, dataset.chips_NHWC[spread(len(dataset), CHIPS)])


def _labels(dataset: Dataset) -> tuple[Label, ...]:
    prevalence_L = dataset.targets_NL.mean(axis=0)
    return tuple(
        Label(name=name, group=group, prevalence=float(share))
        for name, group, share in zip(dataset.labels, dataset.groups, prevalence_L, strict=True)
    )


def _provenance(run: Run, dataset: Dataset) -> Provenance:
    recipe = run.config.to_json()
    about = recipe.pop("about")
    return Provenance(
        dataset=dataset.title,
        dataset_sha256=dataset.digest,
        chips=len(dataset),
        recipe=recipe,
        versions={
            "onnxruntime": onnxruntime.__version__,  # its distribution has another name with CUDA
            **{package: importlib.metadata.version(package) for package in PACKAGES},
        },
        licence=about["licence"],
        sources=tuple(about["sources"]),
    )
