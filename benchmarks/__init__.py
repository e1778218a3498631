"""Measures what the house promises. Every figure stands next to a limit taken in the same run.

Reading order: report (a figure, the table), harness (server, callers), claims, plain (the limit of
the event store), events, peers.
"""
