"""The use cases of XP: read, decide, write.

- `catalogue`  the policies and seasons that every claim is decided by, kept up to date
- `claims`     pay a batch of claims, exactly once
- `desk`       the claims of one process: joined batches, and the receipts of the day
"""
