"""Emberkeep: a self-hosted player-engagement backend on PostgreSQL.

Reading order, from the ground up (each room's own docstring goes on from there):

- `base/`     what every slice stands on: settings, the clock, the database, errors, joined batches
- `migrate/`  the engine that brings a schema from one version to the next
- `events/`   the append-only event store, and those who follow it
- `xp/`       policies, streaks, claims, and the ledger that cannot lie
- `web/`      the HTTP front: routes, who may call them, and what a failure looks like outside
- `cli.py`    the command line; `worker.py` the loops in the background; `wiring.py` puts the parts
  together

Data flows one way: route or command → service → rules (pure) and store (SQL) → model.
"""
