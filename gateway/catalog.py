"""The catalog: which models exist, what they can do, what they cost and where they are served.

`build` lays three layers over each other (catalog.toml < the file named by CATALOG < the operator's
changes), adds what local servers were found to have, and freezes the result. A `Catalog` never
changes: a new one takes its place as a whole.
"""

from __future__ import annotations

import logging
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import orjson
import requests

from gateway.providers import ROWS, Provider

log = logging.getLogger(__name__)

Kind = Literal["chat", "image", "embedding"]
Entry = dict[str, Any]

SHIPPED = Path(__file__).with_name("catalog.toml")
KINDS: tuple[Kind, ...] = ("chat", "image", "embedding")
NANO = 10**9
MAX_ID_LENGTH = 200

CAPABILITIES: Mapping[str, str] = {
    "tools": "calls functions",
    "parallel_tools": "several function calls in one turn",
    "forced_tools": "can be made to call a function",
    "sampling": "takes temperature and top_p",
    "vision": "reads images",
    "pdf": "reads PDF documents",
    "audio": "listens to sound",
    "video": "watches video",
    "json_schema": "answers in the shape of a JSON Schema",
    "reasoning": "thinks before it answers",
    "adaptive": "decides by itself how long to think, steered by an effort",
    "budget_thinking": "thinks within a budget of tokens",
    "always_thinks": "cannot be told not to think",
    "thinks_between_tools": "told not to think, it still does between tool calls",
    "choices": "several answers to one request",
    "json_with_tools": "answers in JSON also where it has tools",
    "effort_none": "knows the effort none",
    "effort_minimal": "knows the effort minimal",
    "effort_xhigh": "knows the effort xhigh",
    "effort_max": "knows the effort max",
    "prefill": "continues a last message of the assistant",
    "caching": "reads repeated input from a cache",
    "web_search": "searches the web by itself",
}
"""Every capability a model may name, and what it means."""

ASSUMED = frozenset(
    {"tools", "parallel_tools", "forced_tools", "sampling", "vision", "json_schema"}
)
"""What a discovered model is taken to be able to do: its server knows better, so let it say no."""


class CatalogError(Exception):
    """A catalog layer is wrong. The message names the source, the model and the field."""


# ------------------------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class Price:
    """Nano-USD per million tokens, and nano-USD per picture.

    A model that has an `image` price bills its pictures by it; the output tokens a picture is
    counted as then cost nothing on top.
    """

    input: int = 0
    output: int = 0
    cached_input: int = 0
    cache_write: int = 0
    image: int = 0


@dataclass(frozen=True, slots=True)
class Deployment:
    """One place that can serve a model. `provider` is None until its credential is set.

    `defaults` are body fields in the provider's own format, laid under the request.
    """

    provider_name: str
    provider: Provider | None
    upstream_model: str
    price: Price | None = None
    defaults: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Model:
    """What callers ask for. `price` None means unpriced; token numbers None mean unknown."""

    id: str
    owned_by: str
    kind: Kind
    created: int
    context: int | None
    max_output: int | None
    capabilities: frozenset[str]
    price: Price | None
    deployments: tuple[Deployment, ...]
    retires: date | None = None
    served_by: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def provider_name(self) -> str:
        """The provider of its first deployment."""
        return self.deployments[0].provider_name


@dataclass(frozen=True, slots=True)
class Catalog:
    """An immutable snapshot: models in the order they are listed, and the configured providers."""

    models: Mapping[str, Model]
    providers: Mapping[str, Provider]
    by_name: Mapping[str, Model] = field(repr=False)

    def find(self, model_id: str) -> Model | None:
        """The model with this id or alias."""
        return self.by_name.get(model_id)


def is_configured(model: Model) -> bool:
    """Whether any deployment of it can be called."""
    return any(deployment.provider for deployment in model.deployments)


# -------------------------------------------------------------------------------- build


@dataclass(slots=True)
class _Row:
    """One model while the layers are laid: its fields, and which layers said so."""

    id: str
    source: str
    rank: int
    alias_rank: int
    values: Entry


def build(
    providers: Mapping[str, Provider],
    *,
    overlay: Path | None = None,
    discovered: Mapping[str, Sequence[str]] | None = None,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Catalog:
    """The catalog of these layers.

    `providers` are the configured ones by name. `changes` maps a model id to an entry like a line
    of the file. `discovered` maps a provider's name to the ids its server listed.
    Raises CatalogError.
    """
    known = frozenset(ROWS) | frozenset(providers)
    sets: dict[str, Any] = {}
    rows: dict[str, _Row] = {}
    layers: list[tuple[str, Mapping[str, Any]]] = [(SHIPPED.name, _load(SHIPPED))]
    if overlay is not None:
        layers.append((str(overlay), _load(overlay)))
    if changes:
        layers.append(("database", {"models": changes}))
    for rank, (source, document) in enumerate(layers):
        _lay(rows, _Layer(source, rank, document, known, sets))
    models = {row.id: _model(row, rows, providers) for row in _enabled(rows)}
    _add_discovered(models, rows, providers, discovered or {})
    return _freeze(models, rows, providers)


def _freeze(
    models: dict[str, Model], rows: Mapping[str, _Row], providers: Mapping[str, Provider]
) -> Catalog:
    by_name = {alias: models[id_] for alias, id_ in _aliases(models, rows).items()}
    by_name.update(models)
    return Catalog(
        MappingProxyType(models), MappingProxyType(dict(providers)), MappingProxyType(by_name)
    )


def _enabled(rows: Mapping[str, _Row]) -> Iterable[_Row]:
    return (row for row in rows.values() if row.values.get("enabled", True))


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CatalogError(f"{path}: cannot be read: {error}.") from error


# -------------------------------------------------------------------------------- layers


@dataclass(slots=True)
class _Layer:
    """One source being laid. `sets` is shared: a later layer may use and redefine earlier sets."""

    source: str
    rank: int
    document: Mapping[str, Any]
    providers: frozenset[str]
    sets: dict[str, Any]

    def fault(self, model: str, name: str, problem: str) -> CatalogError:
        return CatalogError(f"{self.source}: model `{model}`, field `{name}`: {problem}.")


def _lay(rows: dict[str, _Row], layer: _Layer) -> None:
    """Put every entry of a layer over what is below it."""
    for name, table in layer.document.items():
        if not isinstance(table, Mapping):
            raise CatalogError(f"{layer.source}: `{name}` must be a table.")
    layer.sets.update(layer.document.get("sets", {}))
    for name, table in layer.document.items():
        if name == "sets":
            continue
        if name != "models" and name not in layer.providers:
            raise CatalogError(
                f"{layer.source}: unknown provider `{name}`. Known: {_listed(layer.providers)}."
            )
        for model, raw in table.items():
            entry = _read_entry(layer, model, raw)
            if name != "models":
                entry.setdefault("provider", name)
            _lay_entry(rows, layer, model, entry)


def _lay_entry(rows: dict[str, _Row], layer: _Layer, model: str, entry: Entry) -> None:
    below = rows.get(model)
    if below is None:
        if "provider" not in entry and "deployments" not in entry and not entry.get("served_by"):
            raise layer.fault(
                model, "provider", "is missing: the model is new, so say who serves it"
            )
        rows[model] = _Row(model, layer.source, layer.rank, layer.rank, _without_none(entry))
        return
    stale = _stale(below.values, entry)
    kept = {name: value for name, value in below.values.items() if name not in stale}
    below.values = _without_none({**kept, **entry})
    below.source = layer.source
    if "aliases" in entry:
        below.alias_rank = layer.rank


def _stale(below: Entry, entry: Entry) -> set[str]:
    """The fields below that no longer hold once `entry` is laid over them.

    Another place means another name, price and set of defaults there: keeping the old ones would
    bill one model at the price of another.
    """
    stale: set[str] = set()
    if entry.get("provider", below.get("provider")) != below.get("provider"):
        stale |= {*_PLACE, *_PRICES, "unpriced", "owned_by", "served_by"}
    if entry.get("served_by") or entry.get("deployments"):
        stale |= {*_PLACE, *_PRICES, "unpriced", "served_by"}
    if entry.get("upstream") and below.get("served_by"):
        stale |= {"served_by", "defaults"}
    if any(name in entry for name in _PRICES):
        stale.add("unpriced")
    if entry.get("unpriced"):
        stale.update(_PRICES)
    return stale


def _without_none(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if value is not None}


# -------------------------------------------------------------------------------- fields


class _Invalid(Exception):
    """A field's value is wrong; the message says what it must be."""


def _read_entry(layer: _Layer, model: str, raw: object) -> Entry:
    """Check one entry and bring its values into their final types. None takes a field away."""
    if not isinstance(raw, Mapping):
        raise CatalogError(f"{layer.source}: model `{model}` must be a table of fields.")
    if not model or len(model) > MAX_ID_LENGTH:
        raise CatalogError(f"{layer.source}: a model id has 1 to {MAX_ID_LENGTH} characters.")
    return {name: _read_field(layer, model, name, value) for name, value in raw.items()}


def _read_field(layer: _Layer, model: str, name: str, value: object) -> Any:
    read = _FIELDS.get(name)
    if read is None:
        raise layer.fault(model, name, f"is unknown. Known: {_listed(_FIELDS)}")
    if value is None or (value == "" and name in _CLEARABLE):
        return None
    try:
        return read(value, layer)
    except _Invalid as problem:
        raise layer.fault(model, name, f"{problem}, but is {value!r}") from None


def _boolean(value: object, _: _Layer) -> bool:
    if not isinstance(value, bool):
        raise _Invalid("must be true or false")
    return value


def _text(value: object, _: _Layer) -> str:
    if not isinstance(value, str) or not value:
        raise _Invalid("must be a string that is not empty")
    return value


def _provider(value: object, layer: _Layer) -> str:
    if not isinstance(value, str) or value not in layer.providers:
        raise _Invalid(f"must be one of {_listed(layer.providers)}")
    return value


def _kind(value: object, _: _Layer) -> Kind:
    for kind in KINDS:
        if value == kind:
            return kind
    raise _Invalid(f"must be one of {_listed(KINDS)}")


def _count(value: object, _: _Layer) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Invalid("must be a whole number of 1 or more")
    return value


def _dollars(value: object, _: _Layer) -> int:
    """USD as nano-USD."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _Invalid("must be a number of USD")
    nano = Decimal(str(value)) * NANO
    if not nano.is_finite() or nano < 0:
        raise _Invalid("must be 0 or more")
    if nano != nano.to_integral_value():
        raise _Invalid("must not have more than 9 decimal places")
    return int(nano)


def _day(value: object, _: _Layer) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise _Invalid("must be a date like 2026-11-22") from None


def _moment(value: object, layer: _Layer) -> int:
    """Epoch seconds, of a number or of the first second of a day."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    day = _day(value, layer)
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _texts(value: object, _: _Layer) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) and v for v in value):
        raise _Invalid("must be a list of strings")
    return tuple(dict.fromkeys(value))


def _words(value: object, layer: _Layer) -> frozenset[str]:
    """Capabilities: a list or a string of words, with the sets they name filled in."""
    words = value.split() if isinstance(value, str) else _texts(value, layer)
    found: set[str] = set()
    for word in words:
        found |= _set(word[1:], layer) if word.startswith("@") else {word}
    unknown = found - CAPABILITIES.keys()
    if unknown:
        raise _Invalid(f"has unknown words ({_listed(unknown)}). Known: {_listed(CAPABILITIES)}")
    return frozenset(found)


def _set(name: str, layer: _Layer) -> set[str]:
    words = layer.sets.get(name)
    if not isinstance(words, str):
        raise _Invalid(f"names the set @{name}, which [sets] does not have as a string")
    return set(words.split())


def _table(value: object, _: _Layer) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Invalid("must be a table")
    return MappingProxyType(_plain(value))


def _plain(value: Any) -> Any:
    """JSON values only: what becomes part of a request body must be serialisable."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Decimal):
        return float(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise _Invalid("must hold JSON values only")


def _places(value: object, layer: _Layer) -> tuple[Entry, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise _Invalid("must be a list of one or more tables")
    return tuple(_place(item, layer) for item in value)


def _place(item: object, layer: _Layer) -> Entry:
    if not isinstance(item, Mapping) or "provider" not in item:
        raise _Invalid("must be a list of tables, each with a `provider`")
    unknown = set(item) - _PLACE_FIELDS
    if unknown:
        raise _Invalid(f"has unknown fields ({_listed(unknown)})")
    return {name: _FIELDS[name](value, layer) for name, value in item.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


_PRICES = ("input", "output", "cache_read", "cache_write", "image")
_PLACE = ("upstream", "defaults", "weight", "deployments")
_PLACE_FIELDS = {"provider", "upstream", "defaults", "weight", *_PRICES}
_CLEARABLE = ("upstream", "served_by", "retires")
_FIELDS: Mapping[str, Callable[[object, _Layer], Any]] = {
    "enabled": _boolean,
    "provider": _provider,
    "upstream": _text,
    "owned_by": _text,
    "kind": _kind,
    "created": _moment,
    "context": _count,
    "max_output": _count,
    **dict.fromkeys(_PRICES, _dollars),
    "unpriced": _boolean,
    "capabilities": _words,
    "retires": _day,
    "served_by": _text,
    "aliases": _texts,
    "defaults": _table,
    "weight": _count,
    "deployments": _places,
}

# -------------------------------------------------------------------------------- models


def _model(row: _Row, rows: Mapping[str, _Row], providers: Mapping[str, Provider]) -> Model:
    """A row as the model callers see; what it does not say is as its successor has it."""
    end = _successor(row, rows)
    values = {**end.values, **_own(row)} if end is not row else row.values
    owner = row.values.get("owned_by") or _owner(row.values, end.values, providers)
    price = _price(row, values)
    return Model(
        id=row.id,
        owned_by=owner,
        kind=values.get("kind", "chat"),
        created=values.get("created", 0),
        context=values.get("context"),
        max_output=values.get("max_output"),
        capabilities=values.get("capabilities", frozenset()),
        price=price,
        deployments=_deployments(end, values, price, providers),
        retires=row.values.get("retires"),
        served_by=None if end is row else end.id,
        aliases=row.values.get("aliases", ()),
    )


def _own(row: _Row) -> Entry:
    """What a served model says itself. Its own price (or `unpriced`) replaces the successor's."""
    own = {name: value for name, value in row.values.items() if name != "provider"}
    if own.get("unpriced") or any(name in own for name in _PRICES):
        own = {**dict.fromkeys(_PRICES), "unpriced": False, **own}
    return own


def _successor(row: _Row, rows: Mapping[str, _Row]) -> _Row:
    """The row at the end of the `served_by` chain, which may be the row itself."""
    seen = {row.id}
    end = row
    while name := end.values.get("served_by"):
        if name not in rows:
            raise CatalogError(
                f"{end.source}: model `{end.id}`, field `served_by`: there is no model `{name}`."
            )
        if name in seen:
            raise CatalogError(
                f"{end.source}: model `{end.id}`, field `served_by`: leads back to `{name}`."
            )
        seen.add(name)
        end = rows[name]
    if not _first_provider(end.values):
        raise CatalogError(
            f"{end.source}: model `{end.id}`, field `provider`: is missing: say who serves it."
        )
    return end


def _owner(own: Entry, end: Entry, providers: Mapping[str, Provider]) -> str:
    name = _first_provider(own) or _first_provider(end)
    return (providers.get(name) or ROWS[name]).owned_by


def _first_provider(values: Entry) -> str:
    places = values.get("deployments")
    return str(places[0]["provider"] if places else values.get("provider", ""))


def _price(row: _Row, values: Entry) -> Price | None:
    """The price of these fields, or None where none is said."""
    given = {name: values[name] for name in _PRICES if values.get(name) is not None}
    if not given or values.get("unpriced"):
        return None
    needed = ("input", "output") if values.get("kind", "chat") == "chat" else ()
    for name in needed:
        if name not in given:
            raise CatalogError(
                f"{row.source}: model `{row.id}`, field `{name}`: is missing beside "
                f"`{next(iter(given))}`: a chat model has both prices or none."
            )
    tokens = given.get("input", 0)
    return Price(
        input=tokens,
        output=given.get("output", 0),
        cached_input=given.get("cache_read", tokens),
        cache_write=given.get("cache_write", tokens),
        image=given.get("image", 0),
    )


def _deployments(
    end: _Row, values: Entry, price: Price | None, providers: Mapping[str, Provider]
) -> tuple[Deployment, ...]:
    """Where the row is served: its list of places, or the one its own fields describe."""
    places: tuple[Entry, ...] = values.get("deployments") or (
        {**values, "provider": end.values["provider"]},
    )
    empty: Mapping[str, Any] = MappingProxyType({})
    return tuple(
        Deployment(
            provider_name=place["provider"],
            provider=providers.get(place["provider"]),
            upstream_model=place.get("upstream") or end.id,
            price=_price(end, {"kind": values.get("kind", "chat"), **place}) or price,
            defaults=place.get("defaults", empty),
            weight=place.get("weight", 1),
        )
        for place in places
    )


def _aliases(models: Mapping[str, Model], rows: Mapping[str, _Row]) -> dict[str, str]:
    """Alias to model id. A later layer wins; an id beats an alias that an earlier layer gave."""
    owners: dict[str, _Row] = {}
    for row in _enabled(rows):
        for alias in row.values.get("aliases", ()):
            _check_alias(alias, row, rows.get(alias) if alias in models else None)
            rival = owners.get(alias)
            if rival is None or row.alias_rank > rival.alias_rank:
                owners[alias] = row
            elif row.alias_rank == rival.alias_rank and models[row.id] is not models[rival.id]:
                raise CatalogError(
                    f"{row.source}: model `{row.id}`, field `aliases`: `{alias}` already stands "
                    f"for `{rival.id}`."
                )
    return {alias: row.id for alias, row in owners.items()}


def _check_alias(alias: str, row: _Row, same: _Row | None) -> None:
    if same is not None and row.alias_rank >= same.rank:
        raise CatalogError(
            f"{row.source}: model `{row.id}`, field `aliases`: `{alias}` is a model itself."
        )


# ------------------------------------------------------------------------------ discovery


def _add_discovered(
    models: dict[str, Model],
    rows: Mapping[str, _Row],
    providers: Mapping[str, Provider],
    discovered: Mapping[str, Sequence[str]],
) -> None:
    """Add what local servers have, where the id is free or its own provider is not configured."""
    names = {alias: models[id_] for alias, id_ in _aliases(models, rows).items()} | models
    for name, ids in discovered.items():
        provider = providers.get(name)
        for id_ in ids if provider else ():
            taken = names.get(id_)
            is_disabled = id_ in rows and id_ not in models
            if provider and not is_disabled and (taken is None or not is_configured(taken)):
                names[id_] = models[id_] = _discovered_model(id_, provider)


def _discovered_model(id_: str, provider: Provider) -> Model:
    """A local server says nothing but the id; only embedding models give themselves away by it."""
    is_embedding = "embed" in id_.lower()
    return Model(
        id=id_,
        owned_by=provider.owned_by,
        kind="embedding" if is_embedding else "chat",
        created=0,
        context=None,
        max_output=None,
        capabilities=frozenset() if is_embedding else ASSUMED,
        price=None,
        deployments=(Deployment(provider.name, provider, id_),),
    )


CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MAX_LIST_BYTES = 4 * 1024 * 1024
MAX_DISCOVERED = 2_000


def discover(base_url: str, credential: str = "") -> list[str]:
    """The ids an OpenAI-compatible server lists at `<base_url>/models`, in its order.

    Never raises: a server that is away or answers nonsense has no models, and the log says why.
    """
    headers = {"accept": "application/json"}
    if credential:
        headers["authorization"] = f"Bearer {credential}"
    try:
        body = _fetch(f"{base_url.rstrip('/')}/models", headers)
        return _listed_ids(orjson.loads(body))
    except (requests.RequestException, OSError, ValueError, _Invalid) as error:
        log.warning("no models discovered: %s", _reason(error))
        return []


def _fetch(url: str, headers: Mapping[str, str]) -> bytes:
    """The body of a 200, within bounds of size and time."""
    with requests.Session() as session:
        session.trust_env = False  # neither proxies nor .netrc of the machine
        response = session.get(
            url,
            headers=dict(headers),
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        )
        with response:
            if response.status_code != 200:
                raise _Invalid(f"the server answered {response.status_code}")
            return _read_bounded(response)


def _read_bounded(response: requests.Response) -> bytes:
    deadline = time.monotonic() + TOTAL_SECONDS
    body = bytearray()
    for chunk in response.iter_content(65536):
        body += chunk
        if len(body) > MAX_LIST_BYTES:
            raise _Invalid("the server's list is too long")
        if time.monotonic() > deadline:
            raise _Invalid("the server is too slow")
    return bytes(body)


def _listed_ids(answer: object) -> list[str]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, list):
        raise _Invalid("the server's answer is not a list of models")
    ids = [item.get("id") for item in data if isinstance(item, dict)]
    good = [id_ for id_ in ids if isinstance(id_, str) and _is_usable(id_)]
    return list(dict.fromkeys(good))[:MAX_DISCOVERED]


def _is_usable(id_: str) -> bool:
    return 0 < len(id_) <= MAX_ID_LENGTH and id_.isprintable()


def _reason(error: Exception) -> str:
    """Why it failed, without the URL that requests puts into its messages."""
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.RequestException):
        return f"the server cannot be reached ({type(error).__name__})"
    return str(error)
