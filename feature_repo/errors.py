"""Errors of `feature_repo`.

FeatureRepoError
├── SettingsError   a setting, or a home folder, that cannot be used
├── EventLogError   a log that cannot be written or read
└── StoreError      a feature, service or entity that the store does not know
    └── StoreUnavailableError   a store that does not answer
"""


class FeatureRepoError(Exception):
    """Root of all errors that `feature_repo` raises on purpose."""


class SettingsError(FeatureRepoError):
    """A setting, or a home folder, that cannot be used."""


class EventLogError(FeatureRepoError):
    """A log that cannot be written or read."""


class StoreError(FeatureRepoError):
    """A feature, service or entity that the store does not know."""


class StoreUnavailableError(StoreError):
    """A store that does not answer."""
