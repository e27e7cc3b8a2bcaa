"""Incidents: alerts that belong together, opened and joined by rule, merged, split and closed by people."""
