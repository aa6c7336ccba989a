"""The members of a bundle, loaded: chips (B,H,W,C) → probabilities (M,B,L) → verdicts.

Knows no HTTP, no queue and no image formats; one thread at
a time uses it.

Shape suffixes: M members, B chips, O open chips, G golden chips, H height, W width, C bands,
L labels.
"""

import copy
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.contract.bundle import Bundle
from service.contract.chips.values import blank_shares
from service.contract.early_exit import EarlyDecision
from service.contract.errors import BundleError, ServiceError, SettingsError, WrongAnswers
from service.contract.manifest import Pixel, Precision
from service.contract.processors import processors
from service.engine.cuda import padded
from service.engine.evidence import averaged, counting
from service.engine.placement import Loaded, Rung, place
from service.engine.sessions import Device, Gpu
from service.engine.trial import trial
from service.engine.verdict import Verdict

# How far a probability may be from the golden one on another machine. Kernels sum in another order:
# float32 then differs in its last digits, float16 (11 bits) by some of its steps through the depth
# of a network. Integers are exact everywhere; but what an int8 graph keeps in float32 before them,
# such as resizing, moves values that sat on an edge by a whole step: by 0.020 at most, seen between
# SSE4, AVX2, AMX and aarch64. Sums that are cut off have moved answers by 0.1 to 0.29.
TOLERANCE: dict[Precision, float] = {"float32": 1e-4, "float16": 0.02, "int8": 0.03}
ROUNDING = 1e-5  # by which a probability may leave 0..1


class Ensemble:
    """The members of a bundle on one device at one precision."""

    def __init__(
        self,
        bundle: Bundle,
        device: Literal["auto"] | Device = "auto",
        precision: Literal["auto"] | Precision = "auto",
        threads: int = 0,
        gpu: Gpu = Gpu(),  # noqa: B008
        max_batch: int = 1,
        *,
        early_exit: bool = False,
        passed_over: Mapping[Rung, str] = MappingProxyType({}),
    ) -> None:
        """Load every graph and check it against the manifest.

        Args:
            bundle: a verified bundle.
            device: see `place`; so for precision and threads.
            precision: of the graphs.
            threads: on the CPU.
            gpu: how sessions use a GPU.
            max_batch: most chips at a time; TensorRT's engines are built for no more.
            early_exit: leave a chip alone once no member can change its label set.
            passed_over: not to be taken, each with the reason.

        Raises:
            DeviceError: the device does not come up, or cannot run the graphs.
            SettingsError: the bundle lacks the precision, or its rule has no early exit.
            BundleError: names a graph that does not fit the manifest.
        """
        self._bundle = bundle
        self.chips_per_s = math.inf  # until `warm_up` has seen it
        self.passed_over = passed_over
        self._early_voter = bundle.early_voter if early_exit else None
        if early_exit and not self._early_voter:
            raise SettingsError(
                f"CHIPVOTE_EARLY_EXIT=true: the rule of {bundle.folder} looks at all members' probabilities "
                "(only a vote without co-occurrence does not); set it to false"
            )
        spec, largest = bundle.manifest.input, padded(max(max_batch, len(bundle.golden.chips_GHWC)))
        gpu = gpu._replace(largest=(largest, spec.height, spec.width, len(spec.bands)))
        self.device, self.precision, self._runner = place(
            bundle, device, precision, threads, gpu, passed_over
        )

    @property
    def at_once(self) -> int | None:
        """Most chips to give a lane at once; None where more are never worse."""
        return self._runner.at_once

    def lanes(self) -> list["Ensemble"]:
        """Return ensembles over the same sessions, for threads that run at the same time."""
        lanes = []
        for runner in self._runner.lanes():
            lane = copy.copy(self)
            lane._runner = runner
            lanes.append(lane)
        return lanes

    def probabilities(self, chips_BHWC: npt.NDArray[Pixel]) -> npt.NDArray[np.float32]:
        """Run every member: (B,H,W,C) of the input's dtype → float32 (M,B,L), each in 0..1.

        Raises:
            ServiceError: a graph answered what is no probability; so for `vote`.
        """
        loaded = self._runner.load(chips_BHWC)
        return np.stack([self._run(loaded, member, len(chips_BHWC)) for member in self._members])

    def vote(self, chips_BHWC: npt.NDArray[Pixel], explain: bool = False) -> list[Verdict]:
        """Answer a batch: (B,H,W,C) → one `Verdict` per chip.

        With `explain`, every chip gets all members, their probabilities and the evidence.
        """
        verdicts = self._explain(chips_BHWC) if explain else self._answer(chips_BHWC)
        nodata = self._bundle.manifest.input.nodata
        if nodata is None:
            return verdicts
        shares_B = blank_shares(chips_BHWC, nodata).round(4).tolist()
        return [verdict._replace(blank=share) for verdict, share in zip(verdicts, shares_B, strict=True)]

    def self_test(self) -> None:
        """Reproduce the bundle's golden answers.

        Raises:
            WrongAnswers: a decision differs, or a probability by more than `TOLERANCE`.
            BundleError: a graph does not run.
        """
        golden = self._bundle.golden
        path = self._bundle.folder / self._bundle.manifest.golden.path
        try:
            probs_MGL = self._tried(golden.chips_GHWC)
        except BundleError:
            raise
        except ServiceError as error:
            raise WrongAnswers(f"{path}: {error}; export the bundle again") from error
        wrong_GL = self._bundle.decider.decide(probs_MGL).labels_BL != golden.labels_GL
        if self._early_voter:
            wrong_GL |= self._decide(golden.chips_GHWC).labels_BL != golden.labels_GL
        off_MGL = np.abs(probs_MGL - golden.probs_MGL(self.precision))
        wrong = int(wrong_GL.sum())
        # `<=` and not `>`: a NaN must fail.
        if wrong or not (off_MGL <= TOLERANCE[self.precision]).all():
            raise WrongAnswers(
                f"{path}: on {self.device} at {self.precision}, {wrong} of {wrong_GL.size} golden decisions "
                f"differ and probabilities are off by up to {off_MGL.max():.2g} (allowed: 0 and "
                f"{TOLERANCE[self.precision]}); export the bundle again"
            )

    def _tried(self, chips_GHWC: npt.NDArray[Pixel]) -> npt.NDArray[np.float32]:
        """Run every member as `probabilities` does; on the CPU within bounds."""
        loaded, probs = self._runner.load(chips_GHWC), []
        for index, member in enumerate(self._bundle.manifest.members):
            path, chips = self._bundle.graph_path(member, self.precision), len(chips_GHWC)
            bounded = (
                trial(path, self._bundle.manifest.input, chips) if self.device == "cpu" else nullcontext()
            )
            with bounded:
                probs.append(self._run(loaded, index, chips))
        return np.stack(probs)

    def warm_up(self, max_batch: int) -> None:
        """Run what is slow the first time, so that no request pays for it; then take the time."""
        spec = self._bundle.manifest.input
        self._runner.warm_up((spec.height, spec.width, len(spec.bands)), spec.dtype, max_batch)
        chips_BHWC = self._bundle.golden.chips_GHWC[: 2 * processors()]
        began_s = time.perf_counter()
        self.vote(chips_BHWC)
        self.chips_per_s = len(chips_BHWC) / (time.perf_counter() - began_s)

    def _answer(self, chips_BHWC: npt.NDArray[Pixel]) -> list[Verdict]:
        if not self._early_voter:
            return self._told(self.probabilities(chips_BHWC))  # which are known anyway
        labels_BL, votes_BL, probs_BL, members_B = self._decide(chips_BHWC)
        rows = (probs_BL.round(6), votes_BL, labels_BL, members_B)
        return list(map(Verdict, *(array.tolist() for array in rows)))

    def _told(self, probs_MBL: npt.NDArray[np.float32]) -> list[Verdict]:
        """Decide on what all members say, and tell that, too."""
        labels_BL, votes_BL, means_BL = self._bundle.decider.decide(probs_MBL)
        members_BLM = probs_MBL.transpose(1, 2, 0).astype(np.float64)
        rows = (
            means_BL.round(6),
            votes_BL,
            labels_BL,
            np.full(len(labels_BL), len(probs_MBL)),
            members_BLM.round(6),
        )
        return list(map(Verdict, *(array.tolist() for array in rows)))

    def _explain(self, chips_BHWC: npt.NDArray[Pixel]) -> list[Verdict]:
        rule, members = self._bundle.manifest.decision, self._members
        loaded = self._runner.load(chips_BHWC)
        explained = (self._explain_by(loaded, member, len(chips_BHWC)) for member in members)
        probs, maps = zip(*explained, strict=True)
        probs_MBL = np.stack(probs)
        verdicts = self._told(probs_MBL)

        def evidence(chip: int, label: int) -> list[list[float]] | None:
            if not verdicts[chip].predicted[label]:
                return None
            of_label = rule.label_thresholds(label), rule.label_weights(label)
            weights_M = counting(probs_MBL[:, chip, label], *of_label)
            grid: list[list[float]] = averaged([m[chip, label] for m in maps], weights_M).round(4).tolist()
            return grid

        return [
            verdict._replace(evidence=[evidence(chip, label) for label in range(len(verdict.predicted))])
            for chip, verdict in enumerate(verdicts)
        ]

    def _decide(self, chips_BHWC: npt.NDArray[Pixel]) -> EarlyDecision:
        assert self._early_voter
        loaded, loaded_O = self._runner.load(chips_BHWC), np.arange(len(chips_BHWC))

        def ask(member: int, rows_O: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
            nonlocal loaded, loaded_O
            if not np.array_equal(rows_O, loaded_O):
                loaded, loaded_O = self._runner.load(chips_BHWC[rows_O]), rows_O
            return self._run(loaded, member, len(rows_O))

        return self._early_voter.decide(len(chips_BHWC), ask)

    @property
    def _members(self) -> range:
        return range(len(self._bundle.manifest.members))

    def _run(self, loaded: Loaded, member: int, chips: int) -> npt.NDArray[np.float32]:
        return self._checked(member, chips, loaded.run(member))

    def _explain_by(
        self, loaded: Loaded, member: int, chips: int
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        probs_BL, maps_BLhw = loaded.explain(member)
        if maps_BLhw.shape[:2] != probs_BL.shape or not np.isfinite(maps_BLhw).all():
            raise ServiceError(f"{self._named(member)} answered evidence that is none")
        return self._checked(member, chips, probs_BL), maps_BLhw

    def _checked(self, member: int, chips: int, probs_BL: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Refuse what is no probability: whatever the rule made of it would be no label set."""
        wanted = (chips, len(self._bundle.manifest.labels))
        # `>=` and `<=`: a NaN must fail.
        if probs_BL.shape == wanted and bool(((probs_BL >= -ROUNDING) & (probs_BL <= 1 + ROUNDING)).all()):
            return probs_BL
        least, most = np.min(probs_BL, initial=np.inf), np.max(probs_BL, initial=-np.inf)
        raise ServiceError(
            f"{self._named(member)} answered {probs_BL.shape} values from {least:g} to {most:g} where "
            f"{wanted} probabilities are due"
        )

    def _named(self, member: int) -> str:
        return f"{self._bundle.manifest.members[member].name} ({self.precision} on {self.device})"
