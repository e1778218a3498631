"""Schema of the slice, version by version."""
