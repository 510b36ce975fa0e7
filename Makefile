# Cairn on one machine. `make up` and `make test` need nothing but Debian 12, Python 3.11 and root (or sudo).
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
comma := ,
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
RUN_AS_ROOT := $(if $(SUDO),sudo --preserve-env=CAIRN_HOME$(comma)CAIRN_CONTEXT$(comma)XDG_CACHE_HOME$(comma)KUBEBUILDER_ASSETS env "PATH=$$PATH",)

# What `up` needs: QEMU and libvirt for guests, what the demo image is made with, Kubernetes' client if there
# is none. Kubernetes itself is built from Debian's source package by `cairn up` and cached.
PACKAGES_UP := gcc libc6-dev python3-dev python3-venv pkg-config libvirt-dev libvirt-daemon-system libvirt-clients \
	libvirt-daemon-driver-qemu qemu-system-x86 qemu-utils seabios ipxe-qemu dnsmasq-base iptables nftables \
	ebtables bridge-utils iproute2 mtools dosfstools syslinux syslinux-common e2fsprogs fdisk kmod \
	openssh-client util-linux ca-certificates
PACKAGES_TEST := $(PACKAGES_UP) postgresql-15 mariadb-server mmdebstrap busybox-static

.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: up down clean status
up: export CAIRN_CONTEXT := $(CAIRN_CONTEXT)
up: packages-up $(VENV)/ready ## set everything up, start it, boot the example instance
	@$(RUN_AS_ROOT) $(BIN)/cairn up

down: $(VENV)/ready ## stop what `up` started; instances and data stay
	@$(RUN_AS_ROOT) $(BIN)/cairn down

clean: $(VENV)/ready ## stop everything and remove its data
	@$(RUN_AS_ROOT) $(BIN)/cairn clean

status: $(VENV)/ready ## what runs
	@$(RUN_AS_ROOT) $(BIN)/cairn status

.PHONY: test unit check bench cloud-image
test: packages-test $(VENV)/ready binaries ## set up and run all tests
	@echo "== tests (six at a time, as most of them wait for something; real API server, databases, libvirt and QEMU)"
	@$(RUN_AS_ROOT) $(BIN)/pytest -n 6 --dist loadfile tests $(PYTEST_ARGS) || $(MAKE) --no-print-directory test-again

# A machine that is busy with something else can make one of the tests with deadlines fail. The few that did get
# one more chance, alone and one by one; what fails then is broken, and what passes is named, to be looked at.
.PHONY: test-again
test-again:
	@failed=$$($(BIN)/python -c 'import json; print(len(json.load(open(".pytest_cache/v/cache/lastfailed"))))'); \
	if [ "$$failed" -eq 0 ] || [ "$$failed" -gt 8 ]; then echo "== $$failed tests failed"; exit 1; fi; \
	echo "== $$failed tests failed; once more, alone:"; $(RUN_AS_ROOT) $(BIN)/pytest -v --last-failed tests $(PYTEST_ARGS)

unit: $(VENV)/ready ## only the tests that start nothing
	@$(BIN)/pytest -q tests/unit $(PYTEST_ARGS)

check: $(VENV)/ready ## lint, types, import contracts, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m cairn_crds.manifests --check crds/manifests
	@$(BIN)/python -m cairn_crds.reference --check docs/resources.md
	@$(BIN)/python -m cairn_cli.settings_reference --check docs/settings.md
	@$(BIN)/python -m cairn_database.legality_reference --check docs/legality.md
	@$(BIN)/python -m cairn_gateway.policy.reference --check docs/policy.md
	@$(BIN)/python -m cairn_gateway.nova.coverage --check docs/compute-api-coverage.md

bench: packages-up $(VENV)/ready binaries ## measure; prints tables, writes bench-results/*.json
	@$(RUN_AS_ROOT) env PYTHONPATH=tests $(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: tempest
tempest: packages-test $(VENV)/ready binaries ## run OpenStack's own tests; writes docs/tempest.md
	@cd tests && $(RUN_AS_ROOT) ../$(BIN)/python -m tempest $(TEMPEST_ARGS)

cloud-image: packages-test $(VENV)/ready ## build a full Debian 12 image with cloud-init and register it
	@$(RUN_AS_ROOT) $(BIN)/cairn cloud-image

.PHONY: binaries manifests lock
binaries: $(VENV)/ready
	@$(BIN)/python -m cairn_local.control_plane.binaries

manifests: $(VENV)/ready ## write CRDs and reference pages from the models
	@$(BIN)/python -m cairn_crds.manifests crds/manifests
	@$(BIN)/python -m cairn_crds.reference docs/resources.md
	@$(BIN)/python -m cairn_cli.settings_reference docs/settings.md
	@$(BIN)/python -m cairn_database.legality_reference docs/legality.md
	@$(BIN)/python -m cairn_gateway.policy.reference docs/policy.md
	@$(BIN)/python -m cairn_gateway.nova.coverage docs/compute-api-coverage.md

# From the default index alone: the hashes are those of every platform's files, not of locally built wheels.
# pip-tools writes the project itself (its extras name each other) as a path; that line and its warning go.
lock: $(VENV)/ready ## pin what pyproject.toml asks for (UPGRADE=--upgrade for newer versions)
	@env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null $(BIN)/pip-compile --quiet $(UPGRADE) \
	  --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --allow-unsafe \
	  --strip-extras --no-header --annotation-style=line --extra dev -o requirements.lock pyproject.toml
	@sed -i -e '/^# WARNING/d' -e '/^# Consider using/d' -e '/^cairn @ /d' requirements.lock

# OpenStack's clients, services and tempest live in environments of their own: tests/support/client_environment.py.
CLIENT_LOCKS := tests/clients/requirements tests/clients/services tests/clients/s3 tests/tempest/requirements
.PHONY: lock-clients
lock-clients: $(VENV)/ready ## pin what tests/clients/*.in and tests/tempest/*.in ask for (UPGRADE=…)
	@for lock in $(CLIENT_LOCKS); do \
	  env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null $(BIN)/pip-compile --quiet $(UPGRADE) \
	  --generate-hashes --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --allow-unsafe \
	  --strip-extras --no-header --annotation-style=line -o $$lock.lock $$lock.in || exit 1; done

# Package lists are only asked for when something is missing, and installing starts no service: policy-rc.d
# says no for as long as it takes, where the machine has none of its own.
define install_packages
	@missing=$$(dpkg-query -W -f='$${Package} $${db:Status-Abbrev}\n' $(1) 2>/dev/null | awk '$$2=="ii"{print $$1}' \
	  | sort | comm -13 - <(printf '%s\n' $(1) | sort)); \
	if [ -n "$$missing" ]; then \
	  echo "== installing from Debian:" $$missing; \
	  $(SUDO) apt-get update -qq || true; \
	  policy=/usr/sbin/policy-rc.d; made=; \
	  if [ ! -e $$policy ]; then printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $$policy >/dev/null; $(SUDO) chmod +x $$policy; made=1; fi; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; status=$$?; \
	  [ -z "$$made" ] || $(SUDO) rm -f $$policy; exit $$status; \
	fi
endef

.PHONY: packages-up packages-test
packages-up:
	$(call install_packages,$(PACKAGES_UP))

packages-test:
	$(call install_packages,$(PACKAGES_TEST))

$(VENV)/ready: pyproject.toml requirements.lock | packages-up
	@echo "== Python environment in $(VENV), from requirements.lock (hashes checked)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@# Compiled once, on all cores: else every process of Cairn compiles what it imports, in seconds and megabytes.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib crds database operator node-agent api-gateway >/dev/null || true
	@touch $@
