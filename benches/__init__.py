"""Benchmarks on the real parts."""
