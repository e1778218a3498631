"""What every slice stands on; knows nothing of players.

Reading order: errors, clock, config, sql, db, batch, postgres.
"""
