"""Alerts: what people are told of a finding, with a life of its own. `machine` is pure, `service` writes and tells."""
