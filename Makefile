# Each target makes the virtual environment that it needs; python3 and make are all that must be there.
PYTHON ?= python3
RUN := .venv
LAB := .venv-lab
OLD := .venv-old
TEST_ARGS ?=
SLOWEST := --durations=25
UV_LOCK = $(RUN)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --only-binary :all: \
	--generate-hashes --no-annotate --no-header
# The tests of so many modules run side by side.
WORKERS ?= 2

.PHONY: demo test test-slow test-old aarch64 torture soak day lab-test check lab config settings-docs lock deb install-root clean

demo: $(RUN)/.installed  ## read the sample clip, print its labels, write the annotated video
	mkdir -p out
	$(RUN)/bin/edge-fer run --camera sample --record out/sample.mp4 --format text
	@echo "The annotated video is out/sample.mp4"

test: $(RUN)/.installed-test  ## the quick tests of the runtime, with coverage (about four minutes)
	$(RUN)/bin/coverage erase
	$(RUN)/bin/coverage run -m pytest --numprocesses $(WORKERS) --dist loadfile --ignore=tests/lab -m 'not slow' $(SLOWEST) $(TEST_ARGS)
	$(RUN)/bin/coverage combine -q
	$(RUN)/bin/coverage report

test-slow: $(RUN)/.installed-test  ## the other tests of the runtime: installation, faults, commands, accuracy (minutes)
	$(RUN)/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal --ignore=tests/lab -m slow $(SLOWEST) $(TEST_ARGS)

test-old: $(OLD)/.installed-test  ## the same with the older libraries of deploy/constraints-old.txt (Python 3.10 or 3.11)
	$(OLD)/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile --ignore=tests/lab $(SLOWEST) $(TEST_ARGS)

aarch64: $(RUN)/.installed-test $(OLD)/.installed-test  ## all of it on emulated Debian 12 and 13 for arm64 (an hour and a half; root)
	$(RUN)/bin/python -m tools.field.aarch64

lab-test: $(LAB)/.installed  ## the tests of the lab (torch, TensorFlow: several GB)
	$(LAB)/bin/python -m pytest tests/lab -o faulthandler_timeout=600 $(SLOWEST) $(TEST_ARGS)

torture: $(RUN)/.installed-test  ## 10,000 frames, 200 faults of a fake Edge TPU: nothing lost, nothing leaked (minutes)
	$(RUN)/bin/python -m tools.field.torture

soak: $(RUN)/.installed-test  ## ten minutes before a stream that breaks off: memory must not grow
	$(RUN)/bin/python -m tools.field.soak

day: $(RUN)/.installed-test  ## a day in ten minutes: whatever is connected breaks every 3 s, and nothing may grow
	$(RUN)/bin/python -m tools.field.day

LAB_FIELD := every_network feature_gain label_a_recording two_trainers
$(LAB_FIELD:%=field-%): field-%: $(LAB)/.installed
	$(LAB)/bin/python -m tools.field.$* $(ARGS)

field-%: $(RUN)/.installed-test  ## any other program of tools/field, such as: make field-reconnects ARGS='--count 200'
	$(RUN)/bin/python -m tools.field.$* $(ARGS)

check: $(RUN)/.installed-test  ## style, types, the layers of the imports, and no circle in them
	$(RUN)/bin/ruff check
	$(RUN)/bin/ruff format --check
	$(RUN)/bin/mypy
	$(RUN)/bin/lint-imports

config: $(RUN)/.installed  ## the services' configurations, from the settings
	$(RUN)/bin/python deploy/default_config.py >systemd/config.yaml.new
	mv systemd/config.yaml.new systemd/config.yaml
	$(RUN)/bin/python deploy/default_config.py serve >systemd/serve.yaml.new
	mv systemd/serve.yaml.new systemd/serve.yaml

settings-docs: $(RUN)/.installed  ## docs/settings.md, from the settings
	$(RUN)/bin/python -m tools.settings_docs

lock: $(RUN)/bin/python  ## deploy/requirements*.txt: what install.sh installs, by hashes, for every Python and machine
	$(RUN)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(UV_LOCK) pyproject.toml --constraint deploy/constraints-lock.txt --extra http --extra mavlink --extra mqtt -o deploy/requirements.txt
	echo 'hatchling>=1.25' | $(UV_LOCK) - -o deploy/requirements-build.txt

deb:  ## a Debian package that carries its wheels; ARCH=arm64 for another machine
	deploy/build_deb.sh $(if $(ARCH),--arch $(ARCH))

install-root: deb $(RUN)/.installed-test  ## install it in a clean Debian, and take it away again (root, mmdebstrap; minutes)
	$(RUN)/bin/python -m tools.field.install_root --deb out/edge-fer_*_$$(dpkg --print-architecture).deb

lab: $(LAB)/.installed  ## an environment for `edge-fer lab`

$(RUN)/bin/python:
	$(PYTHON) -m venv $(RUN)

$(RUN)/.installed: $(RUN)/bin/python pyproject.toml
	$(RUN)/bin/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(RUN)/.installed-test: $(RUN)/.installed
	$(RUN)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

# The networks of the fake Edge TPU are written with ai-edge-litert's schema, which stays; its interpreter goes.
$(OLD)/.installed-test: pyproject.toml deploy/constraints-old.txt
	$(PYTHON) -m venv $(OLD)
	$(OLD)/bin/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints-old.txt \
		tflite-runtime -e '.[test]'
	cp $(OLD)/lib/python3*/site-packages/ai_edge_litert/schema_py_generated.py $(OLD)
	$(OLD)/bin/python -m pip uninstall --quiet --yes ai-edge-litert
	cd $(OLD)/lib/python3*/site-packages && mkdir -p ai_edge_litert && mv ../../../schema_py_generated.py ai_edge_litert
	touch $@

$(LAB)/.installed: pyproject.toml
	$(PYTHON) -m venv $(LAB)
	$(LAB)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(LAB)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[lab,test]'
	touch $@

clean:
	rm -rf $(RUN) $(LAB) $(OLD) out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
