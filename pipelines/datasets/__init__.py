"""Readers that turn a dataset into items, users and events."""
