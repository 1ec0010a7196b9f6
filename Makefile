# The commands that this project is worked with. Each installs what it lacks; see CONTRIBUTING.md.

.PHONY: run test build bench-check fmt lint web

# Arguments for the server: make run ARGS="--data-dir /tmp/rookery"
ARGS ?=

run:
	@scripts/run.sh $(ARGS)

test:
	@scripts/test.sh

build:
	@scripts/build.sh

bench-check:
	@scripts/bench-check.sh

fmt:
	@cargo fmt

lint:
	@scripts/lint.sh

web:
	@scripts/web.sh
