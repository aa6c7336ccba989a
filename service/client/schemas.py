"""The shapes of what the service says, for the server that builds it and the client that reads it.

Typed dictionaries: they document the API, and cost nothing to build or to serialise for
a thousand chips. The console's JSON output has the same shapes. Imports nothing of the
server, so that a client needs none of it.
"""

import sys
from typing import Any, Literal, NotRequired, final

if sys.version_info >= (3, 12):
    from typing import TypedDict
else:
    from typing_extensions import TypedDict  # typing's own cannot be a pydantic schema before


class Problem(TypedDict):
    """An error as RFC 9457 describes it.

    `request_id`, of a request that ended so, is what the service's log calls it.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: NotRequired[str]


class Geometry(TypedDict):
    """A GeoJSON geometry in degrees of longitude and latitude.

    Across the antimeridian it is two polygons.
    """

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: list[Any]


class Model(TypedDict):
    """Which bundle answered."""

    name: str
    version: str


class Score(TypedDict):
    """What the ensemble thinks of one label.

    `probability` is the weighted mean of the members that ran in a vote, the clipped score of a
    blend, the calibrated probability with expected F. `votes` is the weight of the members in
    favour among those that ran, to be compared with the label's quorum; 0 where the rule is no
    vote.

    Only if asked for: `members` holds each member's own probability, in the manifest's order;
    `evidence`, of a predicted label, the class activation map of the members that voted for it:
    rows from the top, in logits.
    """

    label: str
    probability: float
    votes: int
    predicted: bool
    members: NotRequired[list[float]]
    evidence: NotRequired[list[list[float]]]


@final  # so that a type checker can tell a Prediction from a Failure by its keys
class Prediction(TypedDict):
    """One chip's label set, every label's score in the bundle's order, and how many members ran.

    With early exit, `members` is how many it took until none could change the label set.
    `footprint`, if asked for, is where a GeoTIFF lies on the ground; None for other files.
    `nodata_share`, from bundles with a value for pixels that show nothing, is their share.
    `warnings`, if there are any, are sentences for people: what makes this answer doubtful, and the
    fix; such as a chip that was squeezed to the bundle's size from another by far.
    """

    filename: str | None
    labels: list[str]
    scores: list[Score]
    members: int
    footprint: NotRequired[Geometry | None]
    nodata_share: NotRequired[float]
    warnings: NotRequired[list[str]]


@final
class Failure(TypedDict):
    """One chip that could not be used, beside others that could."""

    filename: str | None
    error: Problem


class Answer(TypedDict):
    """The answer to any prediction, in the order of the files."""

    model: Model
    predictions: list[Prediction | Failure]


class Window(TypedDict):
    """Which pixels of its scene a window takes; its first pixel, and its size."""

    column: int
    row: int
    width: int
    height: int


class ScenePreview(TypedDict):
    """A scene's picture for a map in Web Mercator.

    `image` is a `data:` address; `bounds` are degrees: west, south, east, north; across the
    antimeridian they go on beyond 180.
    """

    image: str
    bounds: tuple[float, float, float, float]


class Scene(TypedDict):
    """What is known of a scene before its first window is labelled.

    `crs` is its coordinate system, by code as EPSG:3857 or as WKT; `resolution_m` how many metres
    of the ground a pixel shows; `footprint` where its corners lie. None for what it does not say.
    `warnings`, if there are any, are sentences for people. `preview` is there only if asked for,
    and if the scene lies somewhere.
    """

    filename: str | None
    width: int
    height: int
    crs: str | None
    resolution_m: float | None
    windows: int
    footprint: Geometry | None
    warnings: NotRequired[list[str]]
    preview: NotRequired[ScenePreview]


class SceneStart(TypedDict):
    """The first line of a scene's answer."""

    model: Model
    scene: Scene


@final
class LabelledWindow(TypedDict):
    """One window's label set; as of a `Prediction`."""

    window: Window
    footprint: Geometry | None
    labels: list[str]
    scores: list[Score]
    members: int
    nodata_share: NotRequired[float]


@final
class SkippedWindow(TypedDict):
    """A window that was left out, because most of it shows nothing."""

    window: Window
    footprint: Geometry | None
    skipped: Literal["nodata"]


@final
class FailedWindow(TypedDict):
    """A window that could not be used, beside others that could."""

    window: Window
    footprint: Geometry | None
    error: Problem


SceneRow = LabelledWindow | SkippedWindow | FailedWindow


class SceneCounts(TypedDict):
    """What became of a scene's windows."""

    windows: int
    labelled: int
    skipped: int
    failed: int


class SceneDone(TypedDict):
    """The last line of a scene's answer that is whole."""

    done: SceneCounts


class SceneCut(TypedDict):
    """The last line of a scene's answer that ended early: why."""

    error: Problem


class LabelCard(TypedDict):
    """One label: prevalence in the training chips, how it is decided, measured quality.

    A vote has a threshold and a weight per member (weight 0: no say) and a quorum; a blend one
    threshold, on its score; expected F, which compares whole label sets, weights for the mean
    alone.
    """

    name: str
    group: str
    prevalence: float
    thresholds: list[float]
    weights: list[int]
    quorum: int | None
    f2: float | None


class Labels(TypedDict):
    """Every label, in the bundle's order."""

    model: Model
    rule: Literal["vote", "blend", "expected-f"]
    labels: list[LabelCard]


class Health(TypedDict):
    """Which health check passed."""

    status: Literal["live", "ready"]


class Loaded(TypedDict):
    """A bundle in memory: the name of its folder, and its version."""

    bundle: str
    version: str


class LabelChange(TypedDict):
    """How many chips got a label only from the candidate, or only from what answers."""

    label: str
    added: int
    removed: int


class Differences(TypedDict):
    """How two bundles' label sets differ on the same chips; only labels that do are listed."""

    chips: int
    different: int
    labels: list[LabelChange]


Step = Literal["checking", "draining", "loading", "comparing", "done", "refused"]


class SwapJob(TypedDict):
    """How far the last swap got.

    `detail` says why it was refused; `differences` how the bundle answered the last chips again.
    """

    bundle: str
    step: Step
    detail: str | None
    differences: Differences | None


class Swap(TypedDict):
    """What is loaded, and what could be.

    `other` is the bundle before, for a way back, or one that is tried unseen (`shadow`).
    """

    bundles: list[str]
    serving: Loaded
    other: Loaded | None
    shadow: bool
    job: SwapJob | None


class Shadow(Differences):
    """What a bundle that is tried unseen has answered, beside the one that is heard.

    `share` of the chips are tried; of these it failed on some, and left some out because it had
    enough to do. Without a candidate all counts are 0.
    """

    serving: str
    candidate: str | None
    share: float
    failed: int
    skipped: int
