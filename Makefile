# A thin front over Meson, for people. Each target is one command that can be read below.
#
#   make up      install what is missing, build, bring examples/guestbook live
#   make check   everything that CI runs: ends with one line `N passed, N failed`
#
# YES=1 (or CI=1, or `make check -- --yes`) installs without a question.

BUILD  ?= build
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
PYTHON ?= /usr/bin/python3
ifneq (,$(filter --yes,$(MAKECMDGOALS)))
YES := 1
endif
export YES CI

.PHONY: all build up check test promises soak bench man format tidy install deb repo clean help --yes

all: build

help:
	@sed -n '2,6p' Makefile; echo; echo "targets: build up check test promises soak bench man format tidy install deb repo clean"

# A warning of a newer compiler stops `make check`, never a user.
$(BUILD)/build.ninja:
	CC=$${CC:-gcc} meson setup $(BUILD) -Dwerror=false >/dev/null

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j$(JOBS)

# Installs without a question, and says what: who types `make up` on a fresh machine asked for it.
up:
	@YES=1 tools/install-deps.sh build run
	@$(MAKE) --no-print-directory build
	@$(BUILD)/stead up examples/guestbook --detach

check:
	@tools/install-deps.sh build run test
	@$(PYTHON) tools/check.py

test: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j$(JOBS)
	@meson test -C $(BUILD) --no-rebuild --suite unit --suite sim --print-errorlogs

promises:
	@tools/install-deps.sh build run test pkg fresh
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tools/promises.py

soak:
	@tools/install-deps.sh build run test
	@$(PYTHON) tools/soak.py

bench: build
	@bench/run

man: build
	@ninja -C $(BUILD) man-pages

format:
	@tools/install-deps.sh format
	@git ls-files '*.c' '*.h' | grep -v '^tbl/' | xargs clang-format -i

tidy:
	@$(PYTHON) tools/tidy.py --self-test
	@$(PYTHON) tools/tidy.py

install: build
	meson install -C $(BUILD)

# stead_VERSION_ARCH.deb in build-deb/, for this machine or cross-built for ARCH=arm64.
deb:
	@tools/install-deps.sh build pkg
	@pkg/deb.sh $(ARCH)

# A signed apt repository of both in build-deb/repo.
repo:
	@tools/install-deps.sh build pkg
	@pkg/repo.sh

clean:
	rm -rf build build-gcc build-clang build-deb

--yes:
	@:
