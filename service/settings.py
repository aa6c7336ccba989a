"""Environment → settings; every key is `CHIPVOTE_` and the field's name in capitals.

Built by `cli.py` or by whoever calls `create_app`, never at import, so that two
services in one process may differ. Knows names, ranges and defaults, and nothing of
what they are used for.
"""

import re
from importlib import metadata
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.contract.errors import SettingsError

PREFIX = "CHIPVOTE_"
_BUNDLE = Path("models/uc-merced")


def default_bundle() -> Path:
    """Return the folder of the bundle that comes with Chipvote, wherever the command runs.

    It lies beside `service/` in a checkout and in the image; a wheel brings it as its data.
    """
    beside = Path(__file__).resolve().parents[1] / _BUNDLE
    if beside.is_dir():
        return beside
    try:
        installed = metadata.files("chipvote") or []
    except metadata.PackageNotFoundError:
        installed = []
    folders = (Path(str(file.locate())).resolve().parent for file in installed if file.name == "bundle.json")
    return next((folder for folder in folders if folder.match(str(_BUNDLE))), beside)


def _words(value: Any) -> Any:  # noqa: ANN401
    return value.split() if isinstance(value, str) else value


class Settings(BaseSettings):
    """How one service runs. Each description says what the key accepts."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    bundle: Path = Field(
        default_factory=default_bundle,
        description="folder of the bundle to serve; by default the one that comes with Chipvote",
    )
    bundles: Annotated[Path | None, BeforeValidator(lambda folder: folder or None)] = Field(
        None,
        description="folder of the bundles that may take the place of the one that is served; empty for none",
    )
    swap_chips: int = Field(
        64,
        ge=0,
        le=10_000,
        description="last chips that another bundle is tried on, 0 to 10000; kept in memory, 64 MiB at most, "
        "only where CHIPVOTE_BUNDLES is set",
    )
    host: str = Field(
        "127.0.0.1", min_length=1, description="address to listen on; 0.0.0.0 for every interface"
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on, 0 to 65535; 0 takes a free one")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto, cpu or cuda")
    precision: Literal["auto", "int8", "float16", "float32"] = Field(
        "auto", description="auto, int8, float16 or float32, as far as the bundle has it"
    )
    threads: int = Field(
        0, ge=0, le=1024, description="processors of the CPU to use, to 1024; 0 or too many for all there are"
    )
    early_exit: bool = Field(
        False,
        description="true or false: leave a chip alone once no member can change its labels; votes only",
    )
    gpu_memory_bytes: int = Field(
        0, ge=0, description="bytes of GPU memory for all members together; 0 for as much as there is"
    )
    cuda_graphs: bool = Field(
        True, description="true or false: record the launches of small batches, where memory is not capped"
    )
    tensorrt: Annotated[Path | None, BeforeValidator(lambda folder: folder or None)] = Field(
        None, description="folder for the engines that TensorRT builds; empty for no TensorRT"
    )
    max_batch: int = Field(32, ge=1, le=1024, description="most chips the engine takes at once, 1 to 1024")
    queue_size: int = Field(
        256,
        ge=1,
        le=1_000_000,
        description="requests accepted, and about as many chips on their way, 1 to 1000000",
    )
    deadline_s: float = Field(
        120,  # as long as the Python client waits for a byte
        ge=0,
        description="seconds within which a chip is answered or dropped; a request's `Prefer: wait=` may "
        "shorten it; 0 for no limit",
    )
    watchdog_s: float = Field(
        60, gt=0, description="seconds at one batch or one chip after which a thread hangs; the process ends"
    )
    decode_threads: int = Field(
        0, ge=0, le=256, description="threads that decode images, to 256; 0 for one per processor, at most 8"
    )
    max_chips: int = Field(1024, ge=1, description="most chips in one request, 1 or more")
    max_body_bytes: int = Field(160 << 20, ge=1, description="most bytes in one request's body, 1 or more")
    max_inflight_bytes: int = Field(
        1 << 30,  # a quarter of what the compose file and the Kubernetes manifest give the service
        ge=2,
        validate_default=True,
        description="most bytes of all bodies being read or answered at once, 2 or more, and at least twice "
        "CHIPVOTE_MAX_BODY_BYTES",
    )
    max_scene_bytes: int = Field(
        256 << 20,
        ge=1,
        description="most bytes of one scene, 1 or more; never more than half of CHIPVOTE_MAX_INFLIGHT_BYTES",
    )
    max_scene_windows: int = Field(10_000, ge=1, description="most windows of one scene, 1 or more")
    max_scenes: int = Field(
        4, ge=1, le=64, description="scenes answered at once, 1 to 64; each has a process that reads it"
    )
    max_connections: int = Field(
        1000, ge=1, le=1_000_000, description="most connections at once, 1 to 1000000, if descriptors suffice"
    )
    max_connections_per_address: int = Field(
        0, ge=0, description="most connections of one address (IPv6: of one /64); 0 for half of all"
    )
    max_url_bytes: int = Field(8 << 10, ge=64, description="most bytes of path and query, 64 or more")
    max_header_bytes: int = Field(16 << 10, ge=256, description="most bytes of a request's head, 256 or more")
    max_headers: int = Field(100, ge=1, description="most headers of a request, 1 or more")
    header_s: float = Field(10, gt=0, description="seconds in which a request's head must come, above 0")
    idle_s: float = Field(10, gt=0, description="seconds that a connection may wait for a request, above 0")
    stall_s: float = Field(
        30,
        gt=0,
        description=f"seconds, above 0: in each such time a body must bring, or a client take of its answer, "
        f"{PREFIX}LEAST_RATE bytes a second",
    )
    least_rate: int = Field(
        500, ge=1, description=f"bytes a second, 1 or more, in each {PREFIX}STALL_S of a body or an answer"
    )
    origins: Annotated[frozenset[str], NoDecode, BeforeValidator(_words)] = Field(
        frozenset(),
        description="origins whose pages may use the service, as https://maps.example, separated by blanks",
    )
    tiles: str = Field(
        "",
        description="address of the pictures behind the page's map, as https://tile.example/{z}/{x}/{y}.png; "
        "empty for none, and then the page asks no address but this service's",
    )
    tiles_attribution: str = Field("", description="words that the map shows about who made those pictures")
    access_log: bool = Field(True, description="true or false: log a line per request")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto, json or console; auto takes console where stderr is a terminal"
    )
    traces: bool = Field(
        False,
        description="true or false: send a trace of each request as the variables OTEL_* say; needs the "
        "extra `otel`",
    )
    keys: Annotated[Path | None, BeforeValidator(lambda file: file or None)] = Field(
        None, description="file of the keys that requests need, made by `chipvote key`; empty for none"
    )
    open: bool = Field(
        False, description="true or false: listen on other addresses than the loopback's without keys"
    )
    trusted_proxies: str = Field(
        "",
        description="addresses or networks of proxies, separated by commas; the log takes the client's "
        "address from their X-Forwarded-For",
    )
    shutdown_s: int = Field(30, ge=0, description="seconds that open requests get to end after SIGTERM")

    @field_validator("trusted_proxies")
    @classmethod
    def _know_proxies(cls, listed: str) -> str:
        for part in filter(None, map(str.strip, listed.split(","))):
            ip_network(part)
        return listed

    @property
    def alone(self) -> bool:
        """Whether no other machine reaches the service; a name may be anybody's."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    @field_validator("origins")
    @classmethod
    def _compare_as_browsers_write(cls, origins: frozenset[str]) -> frozenset[str]:
        for origin in origins:
            if not re.fullmatch(r"https?://[^/\s,*?#@]+", origin):
                raise ValueError(f"{origin!r} is no origin: scheme and host, no path, no slash at the end")
        return frozenset(map(str.lower, origins))

    @field_validator("tiles")
    @classmethod
    def _know_tiles(cls, address: str) -> str:
        # The host becomes part of a header, where other signs would end it.
        plain = re.fullmatch(r"https?://[a-z0-9.:\[\]-]+/\S*", address, re.IGNORECASE)
        if address and not (plain and all(part in address for part in ("{z}", "{x}", "{y}"))):
            raise ValueError(f"{address!r} is no address with {{z}}, {{x}} and {{y}} in it")
        return address

    @field_validator("max_inflight_bytes")
    @classmethod
    def _let_any_body_in(cls, most_bytes: int, info: ValidationInfo) -> int:
        # A body may hold as much as it leaves free: a larger one would be put off for ever.
        body_bytes = info.data.get("max_body_bytes", 0)
        if most_bytes < 2 * body_bytes:
            raise ValueError(f"less than twice {PREFIX}MAX_BODY_BYTES={body_bytes}")
        return most_bytes


def read_settings(**options: Any) -> Settings:  # noqa: ANN401
    """Build settings from the environment; an option that is not None wins over its variable.

    Raises:
        SettingsError: names the variable, its value and what it accepts.
    """
    try:
        return Settings(**{name: value for name, value in options.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        accepted = Settings.model_fields[name].description
        raise SettingsError(
            f"{PREFIX}{name.upper()}={first['input']}: {first['msg']}; accepted: {accepted}"
        ) from error
