"""Feast's registry file, replaced whole at each writing, whose views serve while they are materialized.

Feast's own store empties the file and fills it again: a process that is killed between the two, a reader who comes
between them or a full disk leave a deployment without definitions. Feast also notes a view as `MATERIALIZING` while its
rows are written, and refuses to read it meanwhile, after a killed run even until the next one is through. Rows of ours
are whole at any moment, so to readers such a view is what it was before: online.
"""

import uuid
from datetime import UTC, datetime
from typing import Final

from feast.infra.registry.file import FileRegistryStore
from feast.protos.feast.core.FeatureView_pb2 import FeatureViewState
from feast.protos.feast.core.Registry_pb2 import Registry
from google.protobuf.message import DecodeError

from feature_repo.durable import write_durably
from feature_repo.errors import StoreError

_ONLINE: Final = FeatureViewState.Value("AVAILABLE_ONLINE")
_MATERIALIZING: Final = FeatureViewState.Value("MATERIALIZING")


class WholeRegistryStore(FileRegistryStore):
    """The registry of one home: any number of readers, one writer at a time."""

    def get_registry_proto(self) -> Registry:
        """What was last written.

        Raises:
            FileNotFoundError: nothing was, which Feast takes for an empty registry.
            StoreError: the file is damaged.
        """
        try:
            registry: Registry = super().get_registry_proto()  # type: ignore[no-untyped-call]
        except DecodeError as error:
            raise StoreError(
                f"{self._filepath}: not a Feast registry ({error}); delete it, and `trichord run` makes it again"
            ) from error
        for view in registry.feature_views:
            if view.meta.state == _MATERIALIZING:
                view.meta.state = _ONLINE
        return registry

    def _write_registry(self, registry_proto: Registry) -> None:
        """Write a registry, under a new version.

        Raises:
            StoreError: the file cannot be written; what was registered stays.
        """
        registry_proto.version_id = str(uuid.uuid4())
        registry_proto.last_updated.FromDatetime(datetime.now(UTC))
        try:
            self._filepath.parent.mkdir(parents=True, exist_ok=True)
            write_durably(self._filepath, registry_proto.SerializeToString())
        except OSError as error:
            raise StoreError(
                f"{self._filepath}: the registry cannot be written ({error}); what it held stays; make room, or choose "
                "a home that this user may write to, and run again"
            ) from error
