"""The use cases of XP: read, decide, write.

- `catalogue`    the policies and seasons that every claim is decided by, kept up to date
- `claims`       pay a batch of claims, exactly once
- `desk`         the claims of one process: joined batches, and the receipts of the day
- `history`      replay a login history through the claim path
- `trial`        claims that are decided and never written
- `eligibility`  what a claim would come to, now and on the days to come
- `explanation`  why it would, step by step
- `players`      create players, and move them to another time zone under its rules
- `levels`       level curves, and the levels that players reach
- `streaks`      freezes, pauses and repairs, and how a streak stands
- `streak_deeds` what all of them share: lock, write, count, tell
- `journeys`     days that a change of time zone leaves out
- `histories`    every streak and balance folded from its history, as it streams
- `rebuild`      write those again that are not what their history makes them
- `ledger`       grants, debits, and a player's past in pages
- `policies`     the life of a policy: drafts, publications, rollback, overrides, differences; audited
- `segments`     what segments are, and who is put into them; audited
- `membership`   who is in which segment now, and how many
- `rule_failures`  rules that failed while a claim was decided: counted and told
- `seasons`      the calendar
- `catalogue_history`  who did what to segments, seasons and level curves
- `summary`      what happened so far
- `verify`       whether every promise holds, with `verify_balances`, `verify_streaks` and
                 `verify_levels`
- `services`     what these need besides a connection, made once per process
- `attempt`      write, and write again after a deadlock or a stale read
"""
