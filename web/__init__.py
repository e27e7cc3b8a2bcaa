"""What a browser gets: jinja2 templates and ES modules. No bundler."""
