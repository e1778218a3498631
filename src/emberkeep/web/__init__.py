"""The HTTP front: one way in for every request, and one table that says what a failure looks like.

Reading order: errors, auth, body, limits, model, exchange, gate, metrics, idempotency (queries.sql,
store, migrations/), front, hot, routes, openapi, docs, app, server.

    request ─▶ front ── hot lane? ──yes──▶ handler ─────────────────────────┐
                 │ no                                                       ▼
                 └──▶ router ─▶ guard (token, role, rate) ─▶ handler ─▶ commit ─▶ answer

An answer leaves after its transaction has ended, never before: what a client was told is true.
"""
