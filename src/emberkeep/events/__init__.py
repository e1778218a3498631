"""The append-only event store: facts, in order, never lost, never changed, and followed by many.

Reading order: model, migrations, queries.sql, rules, store, service (its docstring goes on from
there), routes, commands. Nothing in here knows about players: a stream is a name, an event is a
type and a JSON document.

    append ──▶ stream, versions 1 2 3 …  ──▶ archive, by month ──▶ expired
                 │                 │
                 │ horizon         └──▶ deleted ──▶ erased; its name is never given again
                 ▼
               $all ──▶ subscription: partitions, leased ──▶ handled ──▶ checkpoint
                                                       └──▶ parked ──▶ replayed or skipped
"""
