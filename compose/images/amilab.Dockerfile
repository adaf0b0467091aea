# The lab's own images: grid, meters, headend, lab, locust (targets). Built from the root of the repository.
# BASE has Python 3.13, or is Debian 13, from whose packages it then comes.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS python
# Before anything is fetched: a proxy that inspects TLS stands between this image and all others.
COPY compose/certificates/ /usr/local/share/ca-certificates/
COPY compose/images/fetch.sh /usr/local/bin/fetch
RUN set -eu; \
    if command -v update-ca-certificates >/dev/null; then update-ca-certificates >/dev/null; fi; \
    packages=; \
    command -v python3 >/dev/null || packages="python3"; \
    if ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then packages="$packages ca-certificates"; fi; \
    if [ -n "$packages" ]; then \
        export DEBIAN_FRONTEND=noninteractive; \
        fetch sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null"; \
        rm -rf /var/lib/apt/lists/* /var/cache/apt/*; \
    fi

FROM python AS builder
RUN set -eu; \
    if ! python3 -c 'import ensurepip' 2>/dev/null; then \
        export DEBIAN_FRONTEND=noninteractive; \
        fetch sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null"; \
    fi; \
    python3 -m venv /opt/pip
COPY requirements.lock requirements-loadtest.lock compose/requirements/ /build/
COPY compose/wheelhouse/ /wheelhouse/

# A wheelhouse that was made beforehand (`amilab compose wheelhouse`) is taken instead of any registry.
FROM builder AS packages
ARG PART
ARG LOCK=requirements.lock
RUN set -eu; \
    from=; \
    if ls /wheelhouse/*.whl >/dev/null 2>&1; then from="--no-index --find-links /wheelhouse"; fi; \
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then export PIP_CERT=/etc/ssl/certs/ca-certificates.crt; fi; \
    python3 -m venv --without-pip /opt/venv; \
    fetch /opt/pip/bin/python -m pip --disable-pip-version-check --python /opt/venv/bin/python install --quiet --no-cache-dir \
        $from --only-binary :all: --constraint "/build/$LOCK" --requirement "/build/$PART.txt"; \
    find /opt/venv -type d \( -name tests -o -path '*/simbench/test' -o -path '*/pyarrow/include' \) \
        -path '*site-packages*' -prune -exec rm -rf {} +; \
    # Arrow's Flight and S3: nobody here talks these.
    find /opt/venv -path '*/pyarrow/*' \( -name '*_flight*' -o -name '*_s3*' \) -delete; \
    /opt/venv/bin/python -m compileall -q /opt/venv || true
# Of the package simbench the grid needs nets and curves, not 320 MB of text.
COPY grid/__init__.py grid/compact_profiles.py /build/grid/
RUN set -eu; \
    if ls -d /opt/venv/lib/python3*/site-packages/simbench >/dev/null 2>&1; then \
        PYTHONPATH=/build /opt/venv/bin/python -B -m grid.compact_profiles; \
    fi

FROM python AS part
COPY --from=packages /opt/venv /opt/venv
ENV PYTHONPATH=/opt/amilab PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 \
    MPLCONFIGDIR=/tmp USER=amilab HOME=/tmp
WORKDIR /opt/amilab
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD test $(( $(date +%s) - $(stat -c %Y /tmp/heartbeat) )) -lt 60
ENTRYPOINT ["/opt/venv/bin/python", "-P", "-m", "lab.containers.member"]

FROM part AS grid
COPY grid/ grid/
COPY lab/ lab/
CMD ["grid"]

FROM part AS meters
COPY grid/__init__.py grid/world.py grid/
COPY meters/ meters/
COPY lab/ lab/
CMD ["meters"]

FROM part AS headend
COPY headend/ headend/
COPY lab/ lab/
CMD ["outages"]

FROM part AS locust
COPY meters/ meters/
COPY dashboards/ dashboards/
COPY loadtests/ loadtests/
# What a process of Locust says each second (loadtests/ledger.py).
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD test -n "$(find /state/loadtest/load/progress -name "$(hostname)-*" -mmin -1)"
ENTRYPOINT ["/opt/venv/bin/python", "-P", "-m", "loadtests"]

# The command `amilab` for machines that have nothing but Docker (compose/amilab runs it), and the tools that disturb
# other containers' networks.
FROM part AS lab
USER 0
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    fetch sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends \
        ca-certificates docker-cli docker-compose iptables iproute2 >/dev/null"; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY grid/ grid/
COPY meters/ meters/
COPY headend/ headend/
COPY lab/ lab/
COPY dashboards/ dashboards/
COPY loadtests/ loadtests/
# For `amilab compose wheelhouse`.
COPY --from=builder /opt/pip/lib/python3.13/site-packages/pip /opt/venv/lib/python3.13/site-packages/pip
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
HEALTHCHECK NONE
ENTRYPOINT ["/opt/venv/bin/python", "-P", "-m", "lab.commands.main"]
CMD ["--help"]
