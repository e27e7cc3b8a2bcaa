"""Readings and positions from devices: parsing, quarantine, and the sources that fetch them."""
