"""Decisions of the event store: what can be appended, who reads what, how far a subscriber is. Pure."""
