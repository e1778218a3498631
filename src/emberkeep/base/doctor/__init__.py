"""Says where a promise of this service cannot be kept, and what to do about it.

Reading order: model, rules (facts in, findings out), queries.sql, store, service.
"""
