"""Duty: who is called when an alert stands, who is on duty, and whether they are there."""
