"""What is known of each mine: kept by versions, edited, imported, exported."""
