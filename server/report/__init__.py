"""What is left of a consultation: the after-action report, and its case folder. `after` is pure; `gather` reads."""
