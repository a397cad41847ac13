# SPDX-License-Identifier: BSD-2-Clause
#
# Thin: meson builds, scripts/ does the rest.
#
#   make            build into build/
#   make check      everything that must hold, as CI runs it
#   make demo       a stock kernel drives a vdpakit device, in QEMU
#   make bench      measurements
#   make fuzz       each fuzzer for a while (SECONDS=60)
#   make coverage   what the tests reach
#   make install    DESTDIR and, at the first build, PREFIX are heeded
BUILD  = build
PREFIX = /usr/local

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	scripts/setup build
	meson setup --prefix $(PREFIX) $(BUILD)

check:
	scripts/check

demo: all
	scripts/demo $(BUILD)

bench:
	scripts/bench

fuzz:
	scripts/fuzz $(SECONDS)

coverage:
	scripts/coverage

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-check build-bench build-coverage build-fuzz

.PHONY: all check demo bench fuzz coverage install clean
