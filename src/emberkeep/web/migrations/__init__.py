"""The schema of the HTTP front: the keys of calls that must happen once."""
