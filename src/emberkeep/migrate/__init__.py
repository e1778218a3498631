"""The engine that brings a schema from one version to the next, each file once.

Reading order: model, rules/ (files, text, split, plan, catalogue, lint), queries.sql, store,
gateway, service/ (session, files, apply, undo, inspect, dry_run, author), commands. Other slices
may import `service` and `model`; the rest is private.

A set is a folder of files `V001__name.sql` (and `V001__name.down.sql`) with one schema of its own.
A file lives like this:

                       up: one transaction, which also writes the history
             ┌─────────────────────────────────────────────────────────────┐
             │                                                             ▼
          pending ──up, header `transactional: false`──▶ dirty ──all done──▶ clean ──edited──▶ refused
             ▲                                             │                 │
             ├────────── repair: drop invalid indexes ─────┘                 │
             └──────────────────────── down ─────────────────────────────────┘

What holds it together:

- One migrator per schema: an advisory lock that is polled, never waited for, because a session
  that waits holds a snapshot and `create index concurrently` waits for every snapshot.
- One transaction per file, so that a file that fails or a migrator that is killed leaves nothing.
- A short lock_timeout with retries, so that a long reader elsewhere never queues the whole site
  behind a migration; never for a concurrent index, which a timeout would leave invalid.
- An empty search_path, so that a name without a schema fails here rather than in another tenant.
"""
