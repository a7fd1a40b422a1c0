# naru's build. `make hello` and `make test` set up what is missing themselves.
export CGO_ENABLED := 0
# Where Go's own archive puts it: sudo's PATH does not have that folder.
export PATH := $(PATH):/usr/local/go/bin
# Expanded when used, not when read: setup may have to install git first. Go's own stamp of the version would fail in
# a clone that belongs to another user.
VERSION = $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
GOBUILD = go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
BINARIES := naru naru-machine naru-engine naru-keeper
HOSTARCH := $(shell PATH="$(PATH)" go env GOHOSTARCH)
ARCH ?= $(HOSTARCH)
CROSS := darwin/amd64 darwin/arm64 windows/amd64 windows/arm64 linux/amd64 linux/arm64

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

hello: root setup build image ## set up, build, run a first container directly and then in the VM
	scripts/hello

test: setup build plugins image ## set up, build and run every test
	scripts/test

build: bin/crun bin/naru-init ## build the binaries into bin/
	@mkdir -p bin
	@[ -e bin/naru ] || echo "building naru (the first time takes minutes)" >&2
	@for b in $(BINARIES); do $(GOBUILD) -o bin/$$b ./cmd/$$b || exit 1; done
	@$(GOBUILD) -o bin/naru-hello ./guest/hello

# A Mac runs no containers itself: it needs the CLI, and naru-machine with cgo, signed, for Apple's hypervisor.
macos: ## on a Mac: build naru and naru-machine into bin/ and sign them
	@mkdir -p bin
	@$(GOBUILD) -o bin/naru ./cmd/naru
	@CGO_ENABLED=1 $(GOBUILD) -o bin/naru-machine ./cmd/naru-machine
	@scripts/macos-sign bin/naru-machine

plugins: bin/docker-buildx bin/docker-compose ## build Docker's buildx and Compose, for naru build and naru compose

# Their versions are those of the tools in go.mod.
bin/docker-%: go.mod scripts/plugin
	@echo "building docker-$* (the first time takes minutes)" >&2
	@scripts/plugin docker-$* $@

bin/crun: scripts/crun
	scripts/crun $(HOSTARCH) $@

bin/naru-init: scripts/init
	scripts/init $(HOSTARCH) $@

image: build ## make the VM image in out/image; ARCH=arm64 or amd64 for the other architecture
	@[ $(ARCH) = $(HOSTARCH) ] || scripts/setup image
	scripts/image $(ARCH)

packages: setup build plugins image ## make .deb, .rpm and the packages for macOS and Windows in out/packages
	scripts/packages

cross: ## build and vet the host side for macOS, Windows and Linux
	scripts/cross $(CROSS)

lint: ## gofmt, go vet, import arrows, tidy go.mod
	scripts/lint

bench: setup build plugins image ## time naru beside Docker on this machine
	scripts/bench

setup:
	@scripts/setup

root:
	@[ "$$(id -u)" = 0 ] || { echo "hello: the direct engine needs root: sudo make hello" >&2; exit 1; }

clean: ## remove what was built
	rm -rf bin out

.PHONY: help hello test build macos packages plugins image cross lint bench setup root clean
