# Bare `make` lists the targets.

CONFIGURATION ?= Debug
CONFIGURATION_DIR = $(shell echo $(CONFIGURATION) | tr A-Z a-z)
BIN = artifacts/bin
AOT_DIR = artifacts/aot
RUNTIME = linux-x64
# The one version, and the time of the sources: packages have both, and are the same whenever they are built.
VERSION ?= $(shell sed -n 's:.*<Version>\(.*\)</Version>.*:\1:p' Directory.Build.props)
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
PACKAGES = artifacts/packages
TOOLS = nftables iproute2 gcc linux-libc-dev clang zlib1g-dev iputils-ping libz3-4
# What only tests start: terminals and shells, readers of manual pages, the examples' languages, systemd-analyze.
TEST_TOOLS = tmux less zsh fish man-db groff mandoc jq python3 systemd
PROMETHEUS = .cache/prometheus
ETCD = .cache/etcd
SERVERS = $(PROMETHEUS)/usr/bin/prometheus $(ETCD)/usr/bin/etcd
SG_AGENTD ?= $(CURDIR)/$(BIN)/Agent.Daemon/$(CONFIGURATION_DIR)/sg-agentd
SGCTL ?= $(CURDIR)/$(BIN)/Agent.Cli/$(CONFIGURATION_DIR)/sgctl
LAB = SG_AGENTD=$(SG_AGENTD) SGCTL=$(SGCTL) $(BIN)/Agent.Lab/$(CONFIGURATION_DIR)/sg-lab

export DOTNET_CLI_TELEMETRY_OPTOUT = 1
export DOTNET_NOLOGO = 1

.DEFAULT_GOAL := help
.PHONY: help setup build test test-tools test-unit test-kernel test-vm test-one-vm test-vm-all vm-shell vm-programs \
    bench bench-packets bench-daemon golden corpus fuzz sim chaos fleet soak test-upgrade keep-version run lab \
    lab-down picture man sbom audit fmt lint aot pack deb rpm test-package check-here check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Installs those of $(1) that are missing.
define install
	@missing=$$(for p in $(1); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'install ok' || echo $$p; done); \
	if [ -n "$$missing" ]; then apt-get update -q && apt-get install -y -q --no-install-recommends $$missing; fi
endef

setup: ## install what is missing (nftables, iproute2, ping, a C compiler), check the SDK, restore packages
	$(call install,$(TOOLS))
	@dotnet --version >/dev/null || { echo "the .NET SDK of global.json is needed: https://dot.net" >&2; exit 1; }
	dotnet restore Agent.sln -v quiet

build: ## the solution, warnings are errors
	dotnet build Agent.sln -c $(CONFIGURATION) -v quiet

test-tools: ## install what only tests need (tmux, shells, man, jq, ...)
	$(call install,$(TEST_TOOLS))

test: setup test-tools test-unit test-kernel ## unit tests, then kernel tests

test-unit: build ## seconds, no privileges
	$(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests

# Unpacked and not installed: the package would start a server on this machine.
$(PROMETHEUS)/usr/bin/prometheus:
	apt-get update -q
	@mkdir -p $(PROMETHEUS)
	cd $(PROMETHEUS) && apt-get download -q prometheus \
	    && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin
	@touch $@

$(ETCD)/usr/bin/etcd:
	apt-get update -q
	@mkdir -p $(ETCD)
	cd $(ETCD) && apt-get download -q etcd-server \
	    && dpkg-deb --fsys-tarfile etcd-server_*.deb | tar -x ./usr/bin
	@touch $@

test-kernel: build $(SERVERS) ## real packets and the real kernel, in network namespaces (root)
	PATH="$(CURDIR)/$(PROMETHEUS)/usr/bin:$$PATH" SG_TEST_NETNS=1 SG_AGENTD=$(SG_AGENTD) SGCTL=$(SGCTL) \
	    tests/twice.sh artifacts/kernel-tests.log unshare -n \
	    $(BIN)/Agent.KernelTests/$(CONFIGURATION_DIR)/Agent.KernelTests

VM_TESTS = artifacts/vm/tests
KERNEL ?= 6.12

vm-programs: aot
	@# Compiled ahead as far as it goes: the machines' processors are emulated, and a JIT is slow there.
	dotnet publish tests/Agent.KernelTests -c Release -r $(RUNTIME) --self-contained -p:PublishReadyToRun=true \
	    -o $(VM_TESTS) -v quiet

test-vm: vm-programs ## what meets the kernel, on Debian's 6.1 and 6.12 kernels, in virtual machines without KVM (root)
	tests/vm/run.sh

test-one-vm: vm-programs ## the same on one of them: KERNEL=6.12 or 6.1 (root)
	tests/vm/run.sh $(KERNEL)

test-vm-all: vm-programs ## every kernel test there; more than an hour
	VM_TESTS=all VM_LIMIT=$${VM_LIMIT:-14400} tests/vm/run.sh

vm-shell: vm-programs ## a console in such a machine to play in: KERNEL=6.1 or 6.12 (root)
	tests/vm/run.sh --shell $(KERNEL)

FIREWALLD = .cache/firewalld
# What the others need; firewalld is unpacked and not installed, as its package would start it.
BENCH_TOOLS = nftables iproute2 iptables ipset dbus python3-dbus python3-gi gir1.2-glib-2.0

$(FIREWALLD)/usr/sbin/firewalld:
	apt-get update -q
	@mkdir -p $(FIREWALLD)
	cd $(FIREWALLD) && apt-get download -q firewalld python3-firewall python3-nftables python3-cap-ng \
	    && for p in *.deb; do dpkg-deb -x $$p .; done
	@touch $@

BENCH = $(BIN)/Agent.Benchmarks/release/Agent.Benchmarks

bench-packets: $(FIREWALLD)/usr/sbin/firewalld ## what a packet costs, beside iptables, nftables and firewalld (root)
	$(call install,$(BENCH_TOOLS))
	dotnet build src/Agent.Daemon -c Release -v quiet
	dotnet build tests/Agent.Benchmarks -c Release -v quiet
	SG_FIREWALLD=$(CURDIR)/$(FIREWALLD) SG_AGENTD=$(BIN)/Agent.Daemon/release/sg-agentd $(BENCH) packets \
	    --out tests/benchmarks/packets.md --commit $$(git rev-parse --short HEAD)

bench-daemon: ## what the native daemon takes for changes and starts: artifacts/daemon.md (a minute; root)
	test -x $(AOT_DIR)/sg-agentd || $(MAKE) aot
	dotnet build tests/Agent.Benchmarks -c Release -v quiet
	SG_AGENTD=$(CURDIR)/$(AOT_DIR)/sg-agentd $(BENCH) changes --only daemon --out artifacts/daemon.md \
	    --commit $$(git rev-parse --short HEAD)

bench: bench-packets ## what packets, proofs and changes cost: writes tests/benchmarks (a quarter of an hour; root)
	dotnet build src/Agent.Daemon -c Release -v quiet
	dotnet build tests/Agent.Benchmarks -c Release -v quiet
	$(BENCH) steps --out tests/benchmarks/steps.md --commit $$(git rev-parse --short HEAD)
	$(BENCH) proof --out tests/benchmarks/proof.md --commit $$(git rev-parse --short HEAD)
	SG_AGENTD=$(BIN)/Agent.Daemon/release/sg-agentd $(BENCH) flow --out tests/benchmarks/flow.md \
	    --commit $$(git rev-parse --short HEAD)
	test -x $(AOT_DIR)/sg-agentd || $(MAKE) aot
	SG_AGENTD=$(CURDIR)/$(AOT_DIR)/sg-agentd $(BENCH) changes --out tests/benchmarks/changes.md \
	    --commit $$(git rev-parse --short HEAD)

corpus: build ## prove published filter sets, in ClassBench's format: FILTER_SETS=directory (minutes)
	SG_FILTER_SETS=$(abspath $(FILTER_SETS)) $(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests -diagnostics \
	    -class Agent.Tests.Proof.PublicFilterSetTests

SECONDS ?= 60

# TARGET= is one reader, by the name of its corpus; SEED= is where to begin, as a finding prints it.
fuzz: build ## what should never come, for SECONDS=60 each: every reader, and the daemon over its socket (root)
	SG_FUZZ_SECONDS=$(SECONDS) SG_FUZZ_SEED=$(filter-out 1,$(SEED)) SG_FUZZ_TARGET=$(TARGET) \
	    $(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests \
	    -class Agent.Tests.Fuzz.ReaderFuzzTests -showliveoutput
	test -n "$(TARGET)" || SG_FUZZ_SECONDS=$(SECONDS) $(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests \
	    -class Agent.Tests.Contract.FuzzTests -showliveoutput
	test -n "$(TARGET)" || SG_FUZZ_SECONDS=$(SECONDS) SG_TEST_NETNS=1 SG_AGENTD=$(SG_AGENTD) unshare -n \
	    $(BIN)/Agent.KernelTests/$(CONFIGURATION_DIR)/Agent.KernelTests \
	    -method Agent.KernelTests.Access.HeavyMessageTests.Broken_\* -showliveoutput

SEED ?= 1
RUNS ?= 1000
STEPS ?= 10

sim: ## lives of simulated hosts in which everything goes wrong: SEED=n the first, RUNS=n how many, STEPS=n how long
	dotnet build tests/Agent.Tests -c $(CONFIGURATION) -v quiet
	SG_SIM_SEED=$(SEED) SG_SIM_RUNS=$(RUNS) SG_SIM_STEPS=$(STEPS) $(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests \
	    -noLogo -class Agent.Tests.Simulation.Host.HostSimulationTests -showliveoutput

KIND ?=
CHAOS_RUNS = $(if $(filter file,$(origin RUNS)),10,$(RUNS))

chaos: build ## misfortunes of a real host under traffic: SEED=n the first, RUNS=n how many, STEPS=n, KIND=Kill (root)
	@# The native daemon dies and comes back many times a minute.
	test -x $(AOT_DIR)/sg-agentd || $(MAKE) aot
	SG_CHAOS_SEED=$(SEED) SG_CHAOS_RUNS=$(CHAOS_RUNS) SG_CHAOS_STEPS=$(if $(filter file,$(origin STEPS)),,$(STEPS)) \
	    SG_CHAOS_KIND=$(KIND) SG_TEST_NETNS=1 SG_AGENTD=$(CURDIR)/$(AOT_DIR)/sg-agentd unshare -n \
	    $(BIN)/Agent.KernelTests/$(CONFIGURATION_DIR)/Agent.KernelTests -noLogo \
	    -class Agent.KernelTests.Chaos.ChaosTests -showliveoutput

fleet: $(ETCD)/usr/bin/etcd ## controllers, etcd and up to 1,000 agents: writes tests/fleet (minutes; root)
	dotnet build tests/Agent.Fleet -c Release -v quiet
	dotnet build src/Agent.Daemon -c Release -v quiet
	SG_AGENTD=$(CURDIR)/$(BIN)/Agent.Daemon/release/sg-agentd $(BIN)/Agent.Fleet/release/sg-fleet measure \
	    --out tests/fleet/report.md --commit $$(git rev-parse --short HEAD)

HOURS ?= 1
# The native program if it is there, otherwise the release build.
SOAKED = $(firstword $(wildcard $(AOT_DIR)/sg-agentd) $(BIN)/Agent.Daemon/release/sg-agentd)
SOAK_SGCTL = $(firstword $(wildcard $(AOT_DIR)/sgctl) $(BIN)/Agent.Cli/release/sgctl)

soak: ## the daemon under everything at once for HOURS=n (0.5): all stays flat? writes tests/soak (root)
	dotnet build tests/Agent.Soak -c Release -v quiet
	test -x $(AOT_DIR)/sg-agentd || dotnet build src/Agent.Daemon -c Release -v quiet
	test -x $(AOT_DIR)/sgctl || dotnet build src/Agent.Cli -c Release -v quiet
	SG_AGENTD=$(CURDIR)/$(SOAKED) SGCTL=$(CURDIR)/$(SOAK_SGCTL) unshare -n $(BIN)/Agent.Soak/release/sg-soak \
	    --hours $(HOURS) --out tests/soak/report.md --commit $$(git rev-parse --short HEAD)

# The version before this one, out of the history: what is upgraded from, and downgraded to.
PREVIOUS ?= $(shell tests/upgrade/previous.sh)
PREVIOUS_DIR = artifacts/previous/$(PREVIOUS)
UPGRADE_TESTS = SG_PREVIOUS_AGENTD=$(CURDIR)/$(PREVIOUS_DIR)/sg-agentd SG_TEST_NETNS=1 SG_AGENTD=$(SG_AGENTD) \
    unshare -n $(BIN)/Agent.KernelTests/$(CONFIGURATION_DIR)/Agent.KernelTests -noLogo

test-upgrade: build ## up and down between the previous version and this one, under traffic (root)
	test -x $(PREVIOUS_DIR)/sg-agentd || tests/upgrade/build.sh "$(PREVIOUS)" $(PREVIOUS_DIR)
	$(UPGRADE_TESTS) -class Agent.KernelTests.Upgrade.UpgradeTests

keep-version: build ## keep what PREVIOUS=commit leaves on a host, as a test for its successors (root)
	test -x $(PREVIOUS_DIR)/sg-agentd || tests/upgrade/build.sh "$(PREVIOUS)" $(PREVIOUS_DIR)
	SG_KEEP_VERSION=$$(git log -1 --format=%cs $(PREVIOUS))-$(PREVIOUS) $(UPGRADE_TESTS) \
	    -method Agent.KernelTests.Upgrade.UpgradeTests.What_a_version_leaves_is_kept

golden: build ## rewrite tests/Agent.Tests/golden from nft (root); the diff is the review
	-SG_WRITE_GOLDEN=1 $(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests \
	    -class Agent.Tests.Nftables.GoldenTests > /dev/null
	tests/Agent.Tests/golden/make-golden.sh
	$(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests -class Agent.Tests.Nftables.GoldenTests

run: setup build ## the daemon in a throwaway lab: real policy, real traffic, expected and observed verdicts (root)
	$(LAB) run

lab: setup build ## the same lab, left open to play in (root)
	$(LAB) up

lab-down: ## remove the open lab
	$(LAB) down

picture: setup build $(PROMETHEUS)/usr/bin/prometheus ## draw the host's dashboard from the lab under traffic (root)
	PATH="$(CURDIR)/$(PROMETHEUS)/usr/bin:$$PATH" $(LAB) picture packaging/grafana/sg-agent-host.svg

man: ## write packaging/man and packaging/schema anew from verbs, settings and messages
	dotnet build tests/Agent.Tests -c $(CONFIGURATION) -v quiet
	SG_WRITE_DOCUMENTS=1 $(BIN)/Agent.Tests/$(CONFIGURATION_DIR)/Agent.Tests -noLogo \
	    -method '*_are_up_to_date'
	@ls packaging/man packaging/schema

sbom: setup ## write packaging/sbom anew: what the programs are made of, with versions and licences
	$(call install,jq)
	packaging/sbom/make.sh

audit: setup ## ask the package registry for known vulnerabilities of what the programs are made of
	@for project in Agent.Daemon Agent.Cli; do \
	    report=$$(dotnet list src/$$project package --vulnerable --include-transitive) || exit 1; \
	    echo "$$report"; ! echo "$$report" | grep -q 'has the following vulnerable' || exit 1; \
	done

fmt: ## format the sources
	dotnet format Agent.sln

lint: ## fail if the sources are not formatted
	dotnet format Agent.sln --verify-no-changes

aot: ## native daemon and sgctl for linux-x64; any IL warning fails
	@# From the beginning each time: a step that is up to date would not repeat its warnings.
	@rm -rf $(AOT_DIR) artifacts/obj/Agent.Daemon/release_$(RUNTIME) artifacts/obj/Agent.Cli/release_$(RUNTIME)
	@mkdir -p $(AOT_DIR)
	@for project in Agent.Daemon Agent.Cli; do \
	    dotnet publish src/$$project -c Release -r $(RUNTIME) -p:Version=$(VERSION) -o $(AOT_DIR) \
	        > $(AOT_DIR)/$$project.log 2>&1 \
	        || { cat $(AOT_DIR)/$$project.log; exit 1; }; \
	    if grep -E 'warning IL[0-9]+' $(AOT_DIR)/$$project.log; then exit 1; fi; \
	done
	@for program in sg-agentd sgctl; do \
	    stat -c '%n: %s bytes' $(AOT_DIR)/$$program; done

pack: ## the client library as a NuGet package, in artifacts/package
	dotnet pack src/Agent.Client -c Release -v quiet
	@ls artifacts/package/release/*.nupkg

deb: aot ## the Debian package, in artifacts/packages; VERSION=1.2.3 for another version
	packaging/deb/build.sh $(AOT_DIR) $(VERSION) $(PACKAGES)
	@if command -v lintian > /dev/null; then \
	    lintian --fail-on error,warning --tag-display-limit 0 $(PACKAGES)/sg-agent_$(VERSION)-1_amd64.deb; \
	else echo "lintian is not installed: the package was not looked at" >&2; fi

rpm: aot ## the RPM package, likewise
	@command -v rpmbuild > /dev/null || { echo "rpmbuild is needed (Debian: apt-get install rpm)" >&2; exit 1; }
	packaging/rpm/build.sh $(AOT_DIR) $(VERSION) $(PACKAGES)

NEXT_VERSION = $(VERSION).1

test-package: deb ## install, upgrade, reboot, remove, purge under traffic, in a virtual machine with systemd (root)
	@# The same programs with another version number, for the upgrade. sgctl is the same one: it shows the daemon's.
	rm -rf artifacts/aot-next && cp -r $(AOT_DIR) artifacts/aot-next
	dotnet publish src/Agent.Daemon -c Release -r $(RUNTIME) -p:Version=$(NEXT_VERSION) -o artifacts/aot-next -v quiet
	packaging/deb/build.sh artifacts/aot-next $(NEXT_VERSION) $(PACKAGES)
	tests/package/run.sh $(PACKAGES)/sg-agent_$(VERSION)-1_amd64.deb $(PACKAGES)/sg-agent_$(NEXT_VERSION)-1_amd64.deb

check-here: lint build test ## as check, without virtual machines

check: check-here test-vm ## what CI runs; test-vm makes the native programs, and boots them on two kernels

clean: ## remove what was built
	rm -rf artifacts
