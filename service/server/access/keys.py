"""The file of keys: a TOML line for each, made by `chipvote key`, holding a hash and never a token.

A token is 256 random bits, so nobody finds one by trying, whatever the hash; scrypt stands in the
file all the same. Its first 32 bits of SHA-256, the index, tell which line a token can be of. So a
token that is none costs no scrypt.
"""

import base64
import hashlib
import hmac
import json
import re
import secrets
import tomllib
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.contract.errors import SettingsError

Scope = Literal["predict", "metrics", "admin"]

PREFIX = "chipvote_"  # for those who search texts for secrets that leaked
NAME = r"[A-Za-z0-9_-]{1,64}"
_COST = "$scrypt$ln=14,r=8,p=1$"  # 16 MiB and some 50 ms


class Key(BaseModel):
    """One line: whose key it is, what it may, and how its token is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{NAME}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    index: str = Field(pattern="^[0-9a-f]{8}$")
    hash: str = Field(pattern=rf"^{re.escape(_COST)}[A-Za-z0-9+/]{{22}}\$[A-Za-z0-9+/]{{43}}$")
    expires: date | None = None  # its last day, in UTC
    rate: Annotated[int, Field(ge=1, le=10**9)] | None = None  # requests in a minute
    concurrent: Annotated[int, Field(ge=1, le=10**9)] | None = None  # requests at the same time

    def proves(self, token: str) -> bool:
        """Tell whether a token is this key's; takes some 50 ms."""
        salt, digest = (base64.b64decode(part + "==") for part in self.hash[len(_COST) :].split("$"))
        return hmac.compare_digest(_scrypt(token, salt), digest)


def index_of(digest: bytes) -> str:
    """Return what the file says of a token's SHA-256."""
    return digest[:4].hex()


def mint(name: str, **allowed: Any) -> tuple[str, str]:  # noqa: ANN401
    """Make a key: its token, to be shown once, and its line for the file.

    Args:
        name: whose it is, as metrics and the log say it.
        allowed: the other fields of a `Key`.

    Raises:
        SettingsError: the name or a limit is none.
    """
    token = PREFIX + secrets.token_urlsafe(32)
    salt = secrets.token_bytes(16)
    hashed = _COST + "$".join(_plain(part) for part in (salt, _scrypt(token, salt)))
    index = index_of(hashlib.sha256(token.encode()).digest())
    try:
        key = Key(name=name, index=index, hash=hashed, **allowed)
    except ValidationError as error:
        raise SettingsError(f"the key {_first(error)}") from error
    fields: dict[str, Any] = key.model_dump(exclude={"name"}, exclude_none=True)
    fields["scopes"] = sorted(fields["scopes"])
    told = ", ".join(f"{field} = {_toml(value)}" for field, value in fields.items())
    return token, f"{name} = {{{told}}}"


def read_keys(path: Path) -> dict[str, Key]:
    """Read a file of keys, by their indices.

    Raises:
        SettingsError: names the line that is wrong, or why the file cannot be read.
    """
    try:
        lines = tomllib.loads(path.read_text(encoding="utf-8"))
        keys = TypeAdapter(list[Key]).validate_python([_named(*line) for line in lines.items()])
    except ValidationError as error:
        name = list(lines)[int(error.errors()[0]["loc"][0])]
        raise SettingsError(f"{path}: {name}: {_first(error)}; `chipvote key` prints such a line") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{path}: cannot be read as keys ({reason}); `chipvote key` makes one") from error
    known: dict[str, Key] = {}
    for key in keys:
        twin = known.setdefault(key.index, key)
        if twin is not key:
            raise SettingsError(f"{path}: {twin.name} and {key.name} have one token; make one for each")
    return known


def _named(name: str, line: object) -> object:
    return {**line, "name": name} if isinstance(line, Mapping) else line


def _first(error: ValidationError) -> str:
    """Put what is wrong first, without a value that may be a secret."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _scrypt(token: str, salt: bytes) -> bytes:
    return hashlib.scrypt(token.encode(), salt=salt, n=1 << 14, r=8, p=1, dklen=32)


def _plain(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _toml(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else json.dumps(value)
