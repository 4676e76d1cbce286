# One image for every service of compose.yaml, and for `docker run`; docs/install.md has the calls.
#   docker build --build-arg EXTRAS=export,bigwig --tag crosslabel .
# It has no HEALTHCHECK: the server, the worker and Dask answer at different places, and a command
# that ends has no health. Each service of compose.yaml has its own.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
# Names of extras with commas: docs/install.md lists them.
ARG EXTRAS=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# MACS3 (the extra `peaks`) is compiled. Debian keeps only the newest of its packages, so a pinned
# one would soon be missing.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends build-essential zlib1g-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/crosslabel
# Without code at first: the layer of the dependencies stays while only code changes.
COPY pyproject.toml setup.py README.md LICENSE constraints.txt ./
RUN mkdir ssldata sslmodels flows \
 && /opt/crosslabel/bin/pip install --constraint constraints.txt ".${EXTRAS:+[$EXTRAS]}"
COPY prefect.yaml ./
COPY docs docs
COPY examples examples
COPY ssldata ssldata
COPY sslmodels sslmodels
COPY flows flows
RUN /opt/crosslabel/bin/pip install --no-deps --force-reinstall .

FROM python:${PYTHON}-slim-bookworm
# The user whose files a mounted folder has.
ARG USER_ID=1000
ARG GROUP_ID=1000
# libgomp1 is for LightGBM (the extra `transfer`).
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --non-unique --gid "$GROUP_ID" crosslabel \
 && useradd --non-unique --uid "$USER_ID" --gid "$GROUP_ID" --create-home crosslabel \
 && install --directory --owner "$USER_ID" --group "$GROUP_ID" /projects /cache
COPY --from=build /opt/crosslabel /opt/crosslabel
ENV PATH=/opt/crosslabel/bin:$PATH CROSSLABEL_CACHE=/cache PYTHONUNBUFFERED=1
USER $USER_ID:$GROUP_ID
WORKDIR /projects
CMD ["crosslabel", "--help"]
