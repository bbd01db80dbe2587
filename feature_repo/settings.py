"""Deployment facts: where things are kept.

Read once, from `trichord.toml` in the working directory and from `TRICHORD_*` variables (which win), and passed down.
Hyper-parameters are not here: each stands beside its component.
"""

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from feature_repo.errors import SettingsError
from feature_repo.schema import Modality
from feature_repo.serving_settings import Budget, Golden, Shadow

_SECRET: Final = ("online_url", "api")  # settings whose values are never shown
LEAST_SECRET: Final = 16  # characters: fewer can be guessed

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class OnlineStore(StrEnum):
    """Which of Feast's online stores a deployment reads and writes."""

    PACKED = "packed"
    SQLITE = "sqlite"
    REDIS = "redis"
    POSTGRES = "postgres"


class Sampling(BaseModel):
    """How many of the served vectors are kept: the table `[served]`, or variables like `TRICHORD_SERVED_SHARE`.

    A request of 100 items takes about 10 kB on disk, so the defaults keep at most 10 MB a day for two weeks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(default=0.01, ge=0, le=1, description="of the requests; 0 keeps none")
    items: int = Field(default=100, ge=1, description="of a request at most, drawn at random")
    vectors: int = Field(default=100_000, ge=0, description="a day at most")
    days: int = Field(default=14, ge=1, description="after which a day is deleted")
    flush_s: float = Field(default=30.0, gt=0, description="what a crash can lose")


class TextPooling(StrEnum):
    """Which hidden states of a text model become a text's vector."""

    MEAN = "mean"
    CLS = "cls"
    LAST = "last"


class Device(StrEnum):
    """What encoders compute on; `auto` takes a GPU where one is."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Encoders(BaseModel):
    """How items' content becomes vectors: by the packaged models, or by a local folder or a hub name (owner/model)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(default=None, description="a BERT- or GPT-class, CLIP or CLAP model")
    text_pooling: TextPooling = Field(default=TextPooling.MEAN, description="of that text model")
    text_prefix: str = Field(default="", description="put before every text, as instruction-tuned models want it")
    text_adapter: Path | None = Field(default=None, description="folder of what the text model was tuned by")
    image: str | None = Field(default=None, description="a ViT, DINOv2, CLIP or SigLIP model")
    image_adapter: Path | None = Field(default=None, description="folder of what the image model was tuned by")
    audio: str | None = Field(
        default=None, description="a Wav2Vec2, AST, Whisper or CLAP model; whisper-tiny is packaged"
    )
    device: Device = Field(default=Device.AUTO, description="what encoders compute on: auto, cpu or cuda")
    least_cosine: float = Field(
        default=0.99, description="int8 or bfloat16 is used from this mean cosine with float32 on; 2: never"
    )


class Search(BaseModel):
    """How the nearest vectors are found: the table `[index]`, or variables like `TRICHORD_INDEX_EXACT_UP_TO`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    exact_up_to: int = Field(default=50_000, ge=0, description="items; more are searched approximately")
    least_recall: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="of the 50 nearest items; an approximate index that finds fewer is refused",
    )
    int8: bool = Field(default=False, description="keep an approximate index in a quarter of the memory")


class Models(BaseModel):
    """Which models are learned from behaviour: the table `[models]`, or variables like `TRICHORD_MODELS_SEQUENTIAL`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sequential: bool = Field(default=False, description="SASRec too, as baseline and generator; minutes on a CPU")


class Suites(BaseModel):
    """How poor vectors may be before nothing more is made from them: the table `[suites]`, or `TRICHORD_SUITES_*`.

    What each limit was set by is in docs/representation.md.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    coverage: dict[Modality, Share] = Field(
        default={}, description="least share of the items with such content that have a vector, by modality; else 0.9"
    )
    norm_tolerance: float = Field(default=1e-3, ge=0, description="how far a norm may be from 1")
    mean_cosine: float = Field(default=0.95, description="highest mean cosine of two items; at 1 all point one way")
    effective_rank: float = Field(default=4.0, ge=0, description="least number of directions that vectors use")
    duplicates: float = Field(default=0.3, ge=0, description="highest share of items with one and the same vector")
    modality_gap: float = Field(default=0.8, ge=0, description="highest distance of two modalities' centroids, 0 to 2")
    drift_psi: float = Field(default=0.2, ge=0, description="highest PSI of projections against the last release")
    drift_ks: float = Field(default=0.15, ge=0, description="highest KS statistic of projections, likewise")

    def coverage_of(self, modality: Modality) -> float:
        """Least share of the items with content of a modality that have a vector."""
        return self.coverage.get(modality, 0.9)


class Scope(StrEnum):
    """What an API key opens."""

    READ = "read"
    EVENTS = "events"
    ADMIN = "admin"


def secret_hash(secret: str) -> bytes:
    """What is kept of a secret: SHA-256, of 32 bytes. Secrets are long and random, so there is nothing to slow down."""
    return hashlib.sha256(secret.encode()).digest()


def _hashed(value: object) -> bytes:
    if not isinstance(value, str) or len(value) < LEAST_SECRET or not value.isascii() or not value.isprintable():
        raise ValueError(
            f"accepted is a text of at least {LEAST_SECRET} printable ASCII characters; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return secret_hash(value)


class ApiKey(BaseModel):
    """One key: what its holder sends, of which only the hash is kept, and what that opens."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    secret: Annotated[bytes, BeforeValidator(_hashed)] = Field(repr=False, description="a long random text")
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)] = Field(
        default=(Scope.READ,), description="read, events (to tell events) or admin (everything)"
    )


class Access(BaseModel):
    """Who may use the HTTP API, and how often: the table `[api]`, or variables like `TRICHORD_API_REQUESTS_PER_S`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    keys: dict[str, ApiKey] = Field(default={}, description="by a name for the log; without any, no key is asked for")
    requests_per_s: float | None = Field(
        default=None, gt=0, description="of each key, and of each address without one, in each process; unset: any"
    )
    burst: int | None = Field(default=None, ge=1, description="requests at once; default: those of two seconds")


class Settings(BaseSettings):
    """One deployment. Every path of what Trichord writes lies under `home`."""

    model_config = SettingsConfigDict(
        env_prefix="TRICHORD_",
        env_nested_delimiter="_",
        env_nested_max_split=1,  # TRICHORD_SERVED_FLUSH_S is served.flush_s
        toml_file="trichord.toml",
        extra="forbid",
        frozen=True,
    )

    home: Path = Field(default=Path(".trichord"), description="everything that is written lies here")
    online_store: OnlineStore = Field(default=OnlineStore.PACKED, description="where online rows are kept")
    online_url: SecretStr | None = Field(
        default=None, description="where the server of that store answers, with user and password; never printed"
    )
    answers: int = Field(default=10_000, ge=0, description="so many latest answers a server can explain and match")
    worker: str = Field(default="main", description="name of this process in its metrics, where several serve one home")
    served: Sampling = Field(default=Sampling(), description="how many of the served vectors are kept")
    encoders: Encoders = Field(default=Encoders(), description="how items' content becomes vectors")
    index: Search = Field(default=Search(), description="how the nearest vectors are found")
    models: Models = Field(default=Models(), description="which models are learned from behaviour")
    suites: Suites = Field(default=Suites(), description="how poor vectors may be")
    api: Access = Field(default=Access(), description="who may use the HTTP API, and how often")
    budget: Budget = Field(default=Budget(), description="how long answers may take")
    golden: Golden = Field(default=Golden(), description="what a release must answer well before it serves")
    shadow: Shadow = Field(default=Shadow(), description="a release that answers live requests too, unseen")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over variables, variables over the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @property
    def lake(self) -> Path:
        """Parquet tables, written whole by their asset."""
        return self.home / "lake"

    @property
    def quantized(self) -> Path:
        """Encoders' models in int8, made on this machine at first use."""
        return self.home / "encoders"

    @property
    def adapters(self) -> Path:
        """What encoders were tuned by, one folder each, and tunings under way."""
        return self.home / "adapters"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file that holds evaluation tables."""
        return self.home / "warehouse.duckdb"

    @property
    def events(self) -> Path:
        """The event log's folder."""
        return self.home / "events"

    @property
    def releases(self) -> Path:
        """One folder a release."""
        return self.home / "releases"

    @property
    def rules(self) -> Path:
        """The text of the rules that every request is answered under; it need not be there."""
        return self.home / "rules.txt"

    @property
    def golden_requests(self) -> Path:
        """Requests that a release must answer well before it serves, one a line; it need not be there."""
        return self.home / "golden.jsonl"

    @property
    def reports(self) -> Path:
        """Counts of rejected rows, plots and suites' results."""
        return self.home / "reports"

    @property
    def suite_reports(self) -> Path:
        """What suites last found, one JSON file an asset."""
        return self.reports / "suites"


def load_settings(home: Path | None = None) -> Settings:
    """Settings of this process, with `home` as given if given.

    Raises:
        SettingsError: `trichord.toml` or a `TRICHORD_*` variable holds a setting or value that is not known.
    """
    try:
        return Settings() if home is None else Settings(home=home)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"]]
        # a misspelt or misplaced name may stand before a secret, too
        shown = "" if first["type"] == "extra_forbidden" or path[0] in _SECRET else f" {first['input']!r}"
        raise SettingsError(
            f"setting {'.'.join(path)}{shown}: {first['msg']}; see trichord.toml and TRICHORD_{'_'.join(path).upper()}"
        ) from None
    except ValueError as error:  # of a variable that holds a table: no JSON
        raise SettingsError(f'a TRICHORD_* variable is no JSON ({error}); write it as {{"name": value}}') from None
