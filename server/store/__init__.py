"""Where rows are kept: SQLite by default, PostgreSQL by URL, with the same code. `docs/store.md` tells the story."""
