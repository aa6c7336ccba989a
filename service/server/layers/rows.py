"""What rows a layer may be asked for, as JSON: predictions with where they lie.

They come from a client, and end as columns, geometries and a style: so each part has its bounds.
Knows no layer's format.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from service.client.schemas import Model, Problem
from service.server.layers.errors import InvalidRows

MOST_ROWS = 20_000
_INT32 = (1 << 31) - 1


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has characters that cannot be printed")
    return text


Longitude = Annotated[float, Field(ge=-180, le=180)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Ring = Annotated[list[tuple[Longitude, Latitude]], Field(min_length=4, max_length=1000)]
Rings = Annotated[list[Ring], Field(min_length=1, max_length=100)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Count = Annotated[int, Field(ge=0, le=_INT32)]
Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """What it does not know is left out: a prediction tells more than a layer has."""

    model_config = ConfigDict(extra="ignore")


class Polygon(_Part):
    """A GeoJSON polygon."""

    type: Literal["Polygon"]
    coordinates: Rings


class MultiPolygon(_Part):
    """Several, as of what lies across the antimeridian."""

    type: Literal["MultiPolygon"]
    coordinates: list[Rings] = Field(min_length=1, max_length=100)


class LayerWindow(_Part):
    """Which pixels of its scene a row is of."""

    column: Count
    row: Count
    width: Annotated[int, Field(gt=0, le=_INT32)]
    height: Annotated[int, Field(gt=0, le=_INT32)]


class LayerScore(_Part):
    """One label of a row; see `Score`."""

    label: Name
    probability: Probability
    votes: Count
    predicted: bool
    members: list[Probability] | None = Field(None, min_length=1, max_length=100)


class LayerRow(_Part):
    """A prediction, or a failure, with its place."""

    filename: str | None = Field(None, max_length=4096)
    footprint: Polygon | MultiPolygon | None = None
    window: LayerWindow | None = None
    scores: list[LayerScore] | None = Field(None, max_length=600)
    members: int = Field(0, ge=0, le=1000)
    nodata_share: float | None = Field(None, ge=0, le=1)
    error: Problem | None = None


class Layer(_Part):
    """Rows of one bundle."""

    model: Model
    rows: list[LayerRow] = Field(min_length=1, max_length=MOST_ROWS)

    @model_validator(mode="after")
    def _be_of_one_bundle(self) -> Self:
        labels: list[str] | None = None
        for number, row in enumerate(self.rows, 1):
            own = [score.label for score in row.scores] if row.scores is not None else labels
            labels = own if labels is None else labels
            if own != labels:
                raise PydanticCustomError(
                    "rows", "row {number} has other labels than the first with any", {"number": number}
                )
        return self

    def told(self) -> list[Any]:
        """Return the rows as predictions are told."""
        return [row.model_dump(exclude_none=True) | {"filename": row.filename} for row in self.rows]


def read_layer(data: bytes) -> Layer:
    """Read a body.

    Raises:
        InvalidRows: says where it is wrong.
    """
    try:
        return Layer.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise InvalidRows(
            f"{where}: {first['msg']}; send what `POST /predict` answered, as /docs says"
        ) from None
