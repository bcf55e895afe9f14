"""Benchmarks: ``pytest bench/`` for the table, ``python -m bench.report`` for figures that are kept."""
