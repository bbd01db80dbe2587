"""Generators: each scores items for a query; the union keeps which one found what."""
