# `make lab` and `make test` do everything, set-up included. `make help` lists the rest.
.PHONY: help ci lab faults test bench fuzz fuzz-minimise deny fmt clippy doc clean-lab

help:
	@echo "make lab            build four images, boot four VMs, run both suites on them"
	@echo "make faults         plant every fault on the four VMs, one after the other, and compare"
	@echo "                    what the suites report with what they should report; the table goes"
	@echo "                    to reports/faults.txt. BOOTPROOF_FAULTS_THIRD=0 (1, 2) plants a third"
	@echo "make test           every other test; needs no VM"
	@echo "make ci             what CI runs (.ci/run): all checks, make test, make lab, and one third"
	@echo "                    of the faults, chosen by commit"
	@echo "make bench          compare bootproof with an OpenSSH script, on four local sshd's;"
	@echo "                    measure lint and plan of 1,000 VMs with 100 assertions each; and"
	@echo "                    check 1,000 real hosts on this machine (BOOTPROOF_FLEET=100: fewer)"
	@echo "make fuzz           run each fuzz target for FUZZ_SECONDS (600)"
	@echo "make fuzz-minimise  reduce the fuzz corpus to the inputs that cover most"
	@echo "make deny           check licences, sources and forbidden crates of the dependencies"
	@echo "make fmt            format the code"
	@echo "make clippy         lint the code; warnings are errors"
	@echo "make doc            build the API documentation; warnings are errors"
	@echo "make clean-lab      delete .lab: images and VMs; power the VMs off first, with"
	@echo "                    bootproof lab down"

ci:
	.ci/run

lab:
	scripts/lab

faults:
	scripts/lab faults

test:
	scripts/setup test
	cargo test

bench:
	scripts/setup test
	cargo bench --bench beside_openssh --bench large_plan --bench fleet

fuzz:
	scripts/fuzz

fuzz-minimise:
	scripts/fuzz-minimise

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
