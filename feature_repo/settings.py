"""Deployment facts: where things are kept.

Read once, from `trichord.toml` in the working directory and from `TRICHORD_*` variables (which win), and passed down.
Hyper-parameters are not here: each stands beside its component.
"""

from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from feature_repo.errors import SettingsError

_SECRET: Final = "online_url"


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


class Encoders(BaseModel):
    """How items' content becomes vectors: by the packaged models, or by a local folder or a hub name (owner/model)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = Field(default=None, description="a BERT- or GPT-class, CLIP or CLAP model")
    text_pooling: TextPooling = Field(default=TextPooling.MEAN, description="of that text model")
    text_prefix: str = Field(default="", description="put before every text, as instruction-tuned models want it")
    text_adapter: Path | None = Field(default=None, description="folder of what the text model was tuned by")
    image: str | None = Field(default=None, description="a ViT, DINOv2, CLIP or SigLIP model")
    image_adapter: Path | None = Field(default=None, description="folder of what the image model was tuned by")
    audio: str | None = Field(default=None, description="a Wav2Vec2, AST, Whisper or CLAP model")
    least_cosine: float = Field(
        default=0.99, description="a packaged model runs in int8 from this mean cosine with float32 on; 2: never"
    )


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
    served: Sampling = Field(default=Sampling(), description="how many of the served vectors are kept")
    encoders: Encoders = Field(default=Encoders(), description="how items' content becomes vectors")

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
    def reports(self) -> Path:
        """Counts of rejected rows, plots and suites' results."""
        return self.home / "reports"


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
        shown = "" if first["type"] == "extra_forbidden" or path[0] == _SECRET else f" {first['input']!r}"
        raise SettingsError(
            f"setting {'.'.join(path)}{shown}: {first['msg']}; see trichord.toml and TRICHORD_{'_'.join(path).upper()}"
        ) from None
