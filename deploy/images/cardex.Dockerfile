# Gateway, workers, web and index jobs: one image, whose argument says which. `make images` builds it.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# Where a proxy signs what is downloaded, its certificate: an empty value stands for the usual ones.
ARG PIP_CERT=
RUN python3 -c 'import ensurepip, venv' 2>/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends python3-venv)
RUN python3 -m venv /opt/cardex
ENV PATH=/opt/cardex/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /src
COPY requirements/cluster.lock requirements/
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r requirements/cluster.lock
COPY pyproject.toml README.md ./
COPY services services
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . \
    && pip uninstall --yes setuptools pip \
    && find /opt/cardex -type d -name tests -prune -exec rm -rf {} +

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cardex" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin cardex \
    && install --directory --owner 10001 --group 10001 /run/cardex
COPY --from=build /opt/cardex /opt/cardex
COPY model_repository /models
# The root is read-only where it runs: /tmp and /run/cardex are given by the pod.
ENV PATH=/opt/cardex/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    CARDEX_MODEL_REPOSITORY=/models
USER 10001:10001
ENTRYPOINT ["cardex"]
