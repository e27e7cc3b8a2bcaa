"""Consultations: who was called, who is in, what was said and ordered. `machine` is pure; `service` keeps it."""
