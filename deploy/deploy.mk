# Images, and manifests that are played on this machine.
.PHONY: deploy-tools manifests base-image images play compose compose-secrets sbom
PODMAN := deploy/podman.sh
BASE ?= localhost/cardex-base:bookworm
TAG ?= dev
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
# Where a proxy signs what is downloaded, builds trust what this machine trusts.
CA := /etc/ssl/certs/ca-certificates.crt
BUILD = $(PODMAN) build --network host --volume $(CA):/host-ca.crt:ro --build-arg PIP_CERT=/host-ca.crt \
	--build-arg BASE=$(BASE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --ignorefile deploy/images/ignore

deploy-tools: $(APP)/.dev ## Install podman, mmdebstrap and prometheus by apt (asks for root), and the operators' schemas by npm
	$(if $(filter 0,$(shell id -u)),,sudo) apt-get update --quiet
	$(if $(filter 0,$(shell id -u)),,sudo) apt-get install -y --no-install-recommends podman crun netavark aardvark-dns iptables catatonit mmdebstrap prometheus uidmap slirp4netns
	npm ci --prefix deploy/schemas --no-audit --no-fund

manifests: $(APP)/.dev ## Render every overlay, check it against the schemas and the policy
	$(BIN)/python -m deploy.checks

base-image: ## Make Debian's own base image, where no registry can be reached; BASE=... takes another
	$(PODMAN) image exists $(BASE) || deploy/images/base.sh $(BASE)

images: base-image ## Build the CPU images from this clone, and print their sizes
	$(BUILD) -f deploy/images/cardex.Dockerfile -t localhost/cardex:$(TAG) .
	$(BUILD) -f deploy/images/triton.Dockerfile -t localhost/cardex-triton:$(TAG) .
	$(BUILD) -f deploy/images/stores.Dockerfile -t localhost/cardex-stores:$(TAG) .
	$(PODMAN) images --filter reference='localhost/cardex*' --format 'table {{.Repository}} {{.Tag}} {{.Size}}'

play: ## Run the dev overlay with podman from these images, until Ctrl-C: `make images` first
	$(BIN)/python -m deploy.play

WITH ?=

compose: $(APP)/.dev ## Run compose.yaml with podman from these images, until Ctrl-C; WITH="--profile monitoring"
	$(BIN)/python -m deploy.compose $(WITH)

compose-secrets: ## Make the passwords that compose.yaml reads, where they are not there
	$(PYTHON) -m deploy.compose.passwords

sbom: $(APP)/.dev $(TRITON)/.ready ## Write what each image installs (CycloneDX) and the licences to build/sbom
	$(BIN)/python -m deploy.sbom --app $(APP) --triton $(TRITON)
