"""The operator with and without a key, on a test bed with everything installed."""
