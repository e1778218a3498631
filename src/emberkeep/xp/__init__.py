"""XP: what a player earns for coming back, why, and the ledger that says so.

Reading order: model/, rules/ (reward_day, policy, streak, claim), queries/, store/, service/,
routes/, commands/. Other slices may import `service` and `model`; the rest is private.

A policy version lives like this:

    Draft ──publish──▶ Published ──successor, cancel or retire──▶ Archived
    edit, delete           ▲                                          │
                           └──────── publish again, roll back ────────┘

and a claim like this:

    request ─▶ already claimed today? ──yes──▶ ALREADY_CLAIMED, the same receipt
                    │ no
                    ▼
               window open, policy in force? ──no──▶ refused, with the instant to come back
                    │ yes
                    ▼
               NEW: award + ledger + balance + streak + event, in one transaction
"""
