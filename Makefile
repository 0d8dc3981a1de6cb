# `make lab` and `make test` do everything, set-up included. `make help` lists the rest.
.PHONY: help lab faults test bench fuzz deny fmt clippy doc clean-lab

help:
	@echo "make lab     build four images, boot four VMs, run both suites on them"
	@echo "make faults  plant faults on the four VMs, one after the other, and compare what the suites say"
	@echo "make test    every other test"
	@echo "make bench   bootproof beside an OpenSSH script, on four sshd's on loopback"
	@echo "make fuzz    each fuzz target for FUZZ_SECONDS (600)"
	@echo "make deny    licences and sources of the dependencies"
	@echo "make fmt clippy doc clean-lab"

lab:
	scripts/lab

faults:
	scripts/lab faults

test:
	scripts/setup test
	cargo test

bench:
	scripts/setup test
	cargo bench --bench beside_openssh

fuzz:
	scripts/fuzz

deny:
	scripts/deny

fmt:
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml

# `--test lab` and `--test faults` by name: `test = false` hides them from --all-targets.
clippy:
	cargo clippy --all-targets -- -D warnings
	cargo clippy --test lab --test faults -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

clean-lab:
	rm -rf .lab
