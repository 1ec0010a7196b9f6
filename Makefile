# The commands that this project is worked with. Each installs what it lacks; see CONTRIBUTING.md.

.PHONY: run test chaos chaos-sabotage build bench-check fmt lint web

# Arguments for the server: make run ARGS="--data-dir /tmp/rookery"
ARGS ?=

run:
	@scripts/run.sh $(ARGS)

test:
	@scripts/test.sh

# The long run of what the tests do for four minutes: make chaos MINUTES=60, from another seed than last time, or SEED=7
MINUTES ?= 60
SEED ?=

chaos:
	@scripts/chaos.sh $(MINUTES) $(SEED)

# Whether the chaos run finds what was put in on purpose.
chaos-sabotage:
	@scripts/chaos-sabotage.sh $(FAULTS)

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
