# The front door. Every target is one line or a script with a name.

.PHONY: help build deb demo demo-down test test-quick test-engines test-services test-vm images

help: ## Lists the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 17

build: ## Builds the four commands, optimised, into target/release.
	cargo build --locked --release --workspace --bins

deb: ## Builds the packages aistack-helper and aistack into target/deb.
	@packaging/build-deb

demo: ## Two tenants deploy a real stack side by side on this host; leaves it running.
	@tests/demo/up

demo-down: ## Removes every trace of the demo.
	@tests/demo/down

test: ## Everything: lints, unit, property and hostile-client tests, real engine, two tenants.
	@tests/run

test-quick: ## Only what needs neither root nor Docker.
	@tests/run quick

test-vm: ## Everything on a real kernel: a Debian guest under QEMU, the packages installed by apt.
	@tests/vm/run

test-engines: ## Each suite that needs an engine, on each of the engines that people run.
	@tests/engines/run

test-services: ## The whole stack for two tenants, with the real software that is too heavy for every run.
	@tests/services/run
	@tests/pair

.PHONY: fuzz
fuzz: ## Each fuzz target for a minute, from its seeds.
	@tests/fuzz

.PHONY: test-vm-current
test-vm-current: ## The guest of test-vm with the current Docker Engine instead of Debian's.
	@tests/vm/run --engine current

images: ## Gets the images of the catalog: pulls them, or builds the stand-alone ones of tests/images.
	@tests/get-images
