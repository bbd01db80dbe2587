"""The packed online store by itself, without a registry."""

from pathlib import Path

from feast import FeatureView, RepoConfig

from feature_repo.stores.packed import PackedOnlineStore


def open_packed(folder: Path, view: FeatureView, **settings: object) -> tuple[PackedOnlineStore, RepoConfig]:
    """A store in a folder that knows one view, with further settings of its own."""
    config = RepoConfig(
        project="packed",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={
            "type": "feature_repo.stores.packed.PackedOnlineStore",
            "path": str(folder / "online"),
            "map_size_mib": 256,
            **settings,
        },
        entity_key_serialization_version=3,
        repo_path=folder,
    )
    store = PackedOnlineStore()
    store.update(config, [], [view], [], [], False)
    return store, config
