"""Benchmarks: `make bench`. They print tables and write JSON; the test suite asserts no timing."""
