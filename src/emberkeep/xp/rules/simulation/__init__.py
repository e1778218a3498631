"""What a policy would have paid to many players at once. Pure; the rules are the engine's own.

Reading order: claims (what is replayed), turns (the order it is replayed in), automaton (the engine
`rules/streak.py` as a table), player (…of one version), tally and comparison (what it adds up to).
"""
