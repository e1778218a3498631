"""Measures the claim path. Every figure stands next to a limit taken in the same run."""
