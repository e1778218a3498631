"""The append-only event store: facts, in order, never lost, never changed.

Reading order: model, queries.sql, store, service. Nothing in here knows about players: a stream
is a name, an event is a type and a JSON document.
"""
