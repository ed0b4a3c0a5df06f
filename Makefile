# make demo     set up, separate the bundled clip, say what it gained
# make check    set up, check the style and types, run the fast tests: two to three minutes on two cores
# make test     the same with all tests: 15 minutes
# make docs     the documentation as a site, in build/site/
# make fuzz     read many more damaged files than the tests do
# make release  wheel, source archive and list of packages in dist/
# make install  set up alone: .venv with the locked packages and the `avsep` command
#
# Needs Python 3.11 to 3.13 with pip, nothing else. PYTHON=... chooses the interpreter.

PYTHONS := $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
# uv makes the environment; where it is missing, pip puts it into .uv/.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
BIN := .venv/bin
STAMP := .venv/.installed

# The tests start hundreds of interpreters: each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# The system's interpreters only: uv is not to fetch one of its own.
export UV_PYTHON_DOWNLOADS := never
# A certificate that pip was told of holds for uv as well.
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

.PHONY: install demo check test docs fuzz style lint format lock bench licences audit sbom release clean

install: $(STAMP)

demo: install
	$(BIN)/avsep demo

# Two processes of one thread each: what torch does in tests is too small for threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: style
	$(PYTEST) -m "not slow"

test: style
	$(PYTEST)

docs: export NO_MKDOCS_2_WARNING = 1
docs: install
	$(BIN)/mkdocs build --strict -f docs/site/mkdocs.yml

# FUZZ times as many damaged files as `make test` tries, others every time.
fuzz: export FUZZ ?= 20
fuzz: install
	$(PYTEST) --timeout 0 tests/fuzz

style: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

# tests/test_types.py does the same beside the other tests.
lint: style
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python tests/benchmarks/separate_speed.py
	$(BIN)/python tests/benchmarks/memory_long.py

# Prints the first usable interpreter, or says what is wrong.
find_python = for python in $(PYTHONS); do \
	    "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	        && exec "$$python" -c 'import sys; print(sys.executable)'; \
	done; \
	echo "avsep needs Python 3.11, 3.12 or 3.13; found none of these as: $(PYTHONS)." \
	     "Install one, or name it: make install PYTHON=/path/to/python3.12" >&2; exit 1

$(STAMP): requirements.lock pyproject.toml | $(UV)
	@python=$$($(find_python)) || exit 1; \
	$(BIN)/python -c '' 2>/dev/null || $(UV) venv --quiet --clear --python "$$python" .venv
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --build-constraints requirements.lock --editable .
	@touch $@

.uv/bin/uv:
	@python=$$($(find_python)) || exit 1; \
	"$$python" -m pip --version >/dev/null 2>&1 \
	    || { echo "$$python has no pip. Install pip for it, or uv (then pip is not needed)." >&2; exit 1; }; \
	"$$python" -m pip install --quiet --disable-pip-version-check --target .uv uv

# Keeps the versions that still fit; `make lock UPGRADE=--upgrade` takes the newest.
lock: | $(UV)
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --extra train --extra array --extra evaluate --extra export --extra cluster \
	    --extra editors --extra page --extra live --extra quality --extra docs --extra dev \
	    --constraints constraints.txt \
	    --custom-compile-command "make lock" $(UPGRADE) pyproject.toml -o requirements.lock

# Tools for the packages of the lock, not for avsep itself: uv fetches each into an environment of its own.
TOOL = $(UV) tool run --quiet --python $(BIN)/python
LOCKED = $(sort $(shell sed -n 's/^\([A-Za-z0-9._-]*\)==.*/\1/p' requirements.lock))

# Name, version and licence of every locked package; UNKNOWN where a package does not say.
licences: install
	@$(TOOL) pip-licenses@5.5.5 --python $(BIN)/python --from mixed --order name --with-system --packages $(LOCKED)
	@$(BIN)/python -c "import re, sys, importlib.metadata as m; have = {re.sub('[-_.]+', '-', d.name).lower() for d in m.distributions()}; \
	    print('not installed on this system:', *(n for n in sys.argv[1:] if n not in have))" $(LOCKED)

# Known holes in the locked packages, by the database of OSV; needs a network. What cannot be asked about is a failure.
audit: install
	$(TOOL) pip-audit@2.10.1 --strict --disable-pip --require-hashes --vulnerability-service osv -r requirements.lock

# What is in the lock, as CycloneDX JSON, which the tool validates.
sbom: install
	mkdir -p dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) PYTHONWARNINGS=ignore $(TOOL) --from cyclonedx-bom==7.5.0 \
	    cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type library \
	    --output-reproducible -o dist/avsep.cdx.json

# Wheel and source archive of the last commit, built twice: nothing is released that another build would not give.
release:
	@test -z "$$(git status --porcelain --untracked-files=no)" \
	    || { echo "make release: files differ from the last commit, of which releases are. Commit or stash them" >&2; exit 1; }
	rm -rf build/first build/second dist/avsep* dist/SHA256SUMS
	$(MAKE) sbom
	.ci/build $(BIN)/python build/first
	.ci/build $(BIN)/python build/second
	diff -r build/first build/second
	mv build/first/* dist/
	cd dist && { sha256sum avsep* 2>/dev/null || shasum -a 256 avsep*; } > SHA256SUMS && cat SHA256SUMS

clean:
	rm -rf .venv .uv .hypothesis .pytest_cache .mypy_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
