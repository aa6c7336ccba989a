"""A raster layer of QGIS → its windows with their labels, by a Chipvote service.

Add it in QGIS: Processing Toolbox, Scripts, "Add Script to Toolbox…". It needs nothing but QGIS.

The service reads the layer's own file, cuts it into windows and answers one after the other; the
polygons come out with a column for each label's probability and votes, drawn by one label.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsFeatureSink,
    QgsField,
    QgsFields,
    QgsFillSymbol,
    QgsGeometry,
    QgsGraduatedSymbolRenderer,
    QgsPointXY,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterFeatureSink,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingUtils,
    QgsRendererRange,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QVariant

LOCAL = "http://127.0.0.1:8000"
TIMEOUT_S = 300
# Paul Tol's "YlOrBr", which people with any colour vision tell apart.
RAMP = ("255,255,229", "254,227,145", "251,154,41", "204,76,2", "102,37,6")
OPACITY = 153  # of 255: the ground stays visible


class LabelRaster(QgsProcessingAlgorithm):
    """The tool as QGIS knows it."""

    INPUT, OUTPUT, URL, KEY, LABEL = "INPUT", "OUTPUT", "URL", "KEY", "LABEL"
    STRIDE, RESOLUTION = "STRIDE", "RESOLUTION"

    def createInstance(self) -> LabelRaster:
        """Return a new one, which QGIS asks for at every run."""
        return LabelRaster()

    def name(self) -> str:
        """Return the name that scripts use."""
        return "chipvote_label_raster"

    def displayName(self) -> str:
        """Return the name that people see."""
        return "Label a raster by a Chipvote service"

    def shortHelpString(self) -> str:
        """Return what stands beside the parameters."""
        return (
            "Sends the layer's GeoTIFF file to a Chipvote service and gives its windows back with their "
            "labels. The key may also stand in the environment variable CHIPVOTE_KEY, which QGIS's history "
            "does not keep."
        )

    def initAlgorithm(self, configuration: Any = None) -> None:  # noqa: ANN401
        """Declare the parameters."""
        number = QgsProcessingParameterNumber.Double
        for parameter in (
            QgsProcessingParameterRasterLayer(self.INPUT, "Raster layer, a GeoTIFF file"),
            QgsProcessingParameterString(self.URL, "Address of the service", LOCAL),
            QgsProcessingParameterString(self.KEY, "Key", optional=True),
            QgsProcessingParameterString(
                self.LABEL, "Label to draw; empty for the most frequent", optional=True
            ),
            QgsProcessingParameterNumber(
                self.STRIDE, "Stride, as a share of a window", number, 1, False, 0.25, 1
            ),
            QgsProcessingParameterNumber(
                self.RESOLUTION, "Metres of a chip's pixel; 0 as the bundle says", number, 0, False, 0
            ),
            QgsProcessingParameterFeatureSink(
                self.OUTPUT, "Labelled windows", QgsProcessing.TypeVectorPolygon
            ),
        ):
            self.addParameter(parameter)

    def processAlgorithm(self, parameters: Any, context: Any, feedback: Any) -> dict[str, Any]:  # noqa: ANN401
        """Fill the layer with windows as they come."""
        path = self.parameterAsRasterLayer(parameters, self.INPUT, context).source()
        if not os.path.isfile(path):
            raise QgsProcessingException(f"{path} is no file; export the layer as a GeoTIFF first")
        key = self.parameterAsString(parameters, self.KEY, context) or os.environ.get("CHIPVOTE_KEY")
        service = Service(self.parameterAsString(parameters, self.URL, context), key)
        labels = service.labels()
        self.label = self.parameterAsString(parameters, self.LABEL, context)
        if self.label and self.label not in labels:
            raise QgsProcessingException(f"there is no label {self.label!r}; there are {', '.join(labels)}")
        fields = fields_of(labels)
        degrees = QgsCoordinateReferenceSystem("EPSG:4326")
        sink, self.output = self.parameterAsSink(
            parameters, self.OUTPUT, context, fields, QgsWkbTypes.MultiPolygon, degrees
        )
        if sink is None:
            raise QgsProcessingException(self.invalidSinkError(parameters, self.OUTPUT))
        found = dict.fromkeys(labels, 0)
        stride, resolution = (
            self.parameterAsDouble(parameters, name, context) for name in (self.STRIDE, self.RESOLUTION)
        )
        lines = service.scene(path, stride=stride, **({"resolution": resolution} if resolution else {}))
        scene = scene_of(lines)
        for warning in scene.get("warnings", ()):
            feedback.pushWarning(warning)
        for done, window in windows(lines):
            if feedback.isCanceled():  # which also ends the request, and with it the service's work
                break
            feedback.setProgress(100 * done / scene["windows"])
            if "skipped" not in window:
                sink.addFeature(feature(window, labels, fields), QgsFeatureSink.FastInsert)
            for label in window.get("labels", ()):
                found[label] += 1
        self.label = self.label or max(labels, key=found.get)
        feedback.pushInfo(", ".join(f"{label} {found[label]}" for label in labels if found[label]))
        del sink  # or what is buffered is not in the file yet
        return {self.OUTPUT: self.output}

    def postProcessAlgorithm(self, context: Any, feedback: Any) -> dict[str, Any]:  # noqa: ANN401
        """Style the layer."""
        layer = QgsProcessingUtils.mapLayerFromString(self.output, context)
        layer.setRenderer(renderer(f"p_{self.label}", self.label))
        return {self.OUTPUT: self.output}


class Service:
    """The service at one address."""

    def __init__(self, url: str, key: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise QgsProcessingException(f"{url!r} is no address of a service; give one like {LOCAL}")
        self._url, self._key = url.rstrip("/"), key

    def labels(self) -> list[str]:
        """Return the labels' names, in order."""
        with self._ask("labels") as answer:
            return [label["name"] for label in json.load(answer)["labels"]]

    def scene(self, path: str, **query: float) -> Iterator[dict[str, Any]]:
        """Send a file; yield what the service says of it, line by line, as it comes."""
        length = {"Content-Length": str(os.path.getsize(path))}
        with open(path, "rb") as file, self._ask(f"predict/scene?{urlencode(query)}", file, length) as answer:
            try:
                yield from map(json.loads, answer)
            except (OSError, HTTPException, ValueError) as error:
                raise QgsProcessingException(f"the answer was cut short ({error}); try again") from error

    def _ask(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> HTTPResponse:  # noqa: ANN401
        request = Request(
            f"{self._url}/{path}", body, {"Content-Type": "application/octet-stream", **(headers or {})}
        )
        if self._key:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            return urlopen(request, timeout=TIMEOUT_S)
        except HTTPError as error:
            raise QgsProcessingException(f"the service answers {error.code}: {_detail(error)}") from error
        except (OSError, HTTPException) as error:
            raise QgsProcessingException(f"no answer from {self._url} ({error})") from error


def _detail(error: HTTPError) -> str:
    try:
        return json.load(error)["detail"]
    except (ValueError, KeyError, TypeError):
        return error.reason


def scene_of(lines: Iterator[dict[str, Any]]) -> dict[str, Any]:
    """Return what the first line tells of the scene."""
    scene = next(lines, {}).get("scene")
    if scene is None:
        raise QgsProcessingException("the answer is no scene's; is the service older than this script?")
    if scene["footprint"] is None:
        raise QgsProcessingException("the file does not tell where on the ground it lies")
    return scene


def windows(lines: Iterator[dict[str, Any]]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each window with its number, from 1; raise if the answer is cut short."""
    for number, line in enumerate(lines, 1):
        if "window" in line:
            yield number, line
        elif "error" in line:
            raise QgsProcessingException(f"the service ended early: {line['error']['detail']}")
        elif "done" in line:
            return
    raise QgsProcessingException("the answer was cut short; try again")


def fields_of(labels: Iterable[str]) -> QgsFields:
    """Return the columns, named as in the layers that `chipvote map` writes."""
    columns = [(name, QVariant.Int) for name in ("column", "row", "width", "height")]
    columns += [("labels", QVariant.String)]
    columns += [(f"p_{label}", QVariant.Double) for label in labels]
    columns += [(f"votes_{label}", QVariant.Int) for label in labels]
    columns += [("error", QVariant.String)]
    fields = QgsFields()
    for name, kind in columns:
        fields.append(QgsField(name, kind))
    return fields


def values_of(window: dict[str, Any], labels: list[str]) -> list[Any]:
    """Return a window's values, in the order of the columns."""
    place = [window["window"][name] for name in ("column", "row", "width", "height")]
    if "error" in window:
        return [*place, None, *[None] * (2 * len(labels)), window["error"]["detail"]]
    scores = {score["label"]: score for score in window["scores"]}
    probabilities = [scores[label]["probability"] for label in labels]
    return [
        *place,
        " ".join(window["labels"]),
        *probabilities,
        *[scores[label]["votes"] for label in labels],
        None,
    ]


def polygons_of(footprint: dict[str, Any]) -> list[Any]:
    """Return a GeoJSON geometry's polygons, each a list of rings."""
    coordinates = footprint["coordinates"]
    return [coordinates] if footprint["type"] == "Polygon" else coordinates


def feature(window: dict[str, Any], labels: list[str], fields: QgsFields) -> QgsFeature:
    """Make a window a polygon with its values."""
    made = QgsFeature(fields)
    made.setAttributes(values_of(window, labels))
    if window["footprint"]:
        polygons = [
            [[QgsPointXY(*point[:2]) for point in ring] for ring in polygon]
            for polygon in polygons_of(window["footprint"])
        ]
        made.setGeometry(QgsGeometry.fromMultiPolygonXY(polygons))
    return made


def renderer(column: str, label: str) -> QgsGraduatedSymbolRenderer:
    """Draw a column from 0 to 1 in equal steps."""
    ranges = []
    for step, colour in enumerate(RAMP):
        low, high = step / len(RAMP), (step + 1) / len(RAMP)
        symbol = QgsFillSymbol.createSimple(
            {"color": f"{colour},{OPACITY}", "outline_color": "0,0,0,255", "outline_width": "0.1"}
        )
        ranges.append(QgsRendererRange(low, high, symbol, f"{label} {low:.1f} to {high:.1f}"))
    return QgsGraduatedSymbolRenderer(column, ranges)
