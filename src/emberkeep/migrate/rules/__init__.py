"""Everything the engine decides without a database: names, text, statements, order, findings.

Reading order: text, split, files, plan, catalogue, lint.
"""
