.PHONY: test demo lint
test:
	./lamproom test
demo:
	./lamproom demo
lint:
	.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy
