# Mosquitto and its guard (lab/services/broker_guard.c, broker_door.c). BASE is the official image, or Debian 13, whose package is then
# laid out like it.
ARG BASE=eclipse-mosquitto:2.0.22

FROM ${BASE} AS broker
USER root
COPY compose/certificates/ /usr/local/share/ca-certificates/
COPY compose/images/fetch.sh /usr/local/bin/fetch
# The official image has a bundle of authorities, and not what would add to it.
RUN set -eu; \
    bundle=/etc/ssl/certs/ca-certificates.crt; \
    if [ -f "$bundle" ] && ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then \
        cat /usr/local/share/ca-certificates/*.crt >>"$bundle"; \
    fi; \
    if command -v apt-get >/dev/null; then \
        export DEBIAN_FRONTEND=noninteractive; \
        fetch sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends mosquitto >/dev/null"; \
        rm -rf /var/lib/apt/lists/* /var/cache/apt/*; \
        mkdir -p /mosquitto/config /mosquitto/data; \
        chown mosquitto /mosquitto/data; \
    fi

FROM broker AS builder
COPY lab/services/broker_guard.c lab/services/broker_door.c lab/services/broker_guard.h /build/
RUN set -eu; \
    if command -v apt-get >/dev/null; then \
        export DEBIAN_FRONTEND=noninteractive; \
        fetch sh -c "apt-get update -qq && apt-get install -y -qq --no-install-recommends \
            gcc libc6-dev mosquitto-dev libmosquitto-dev >/dev/null"; \
    else \
        fetch apk add --quiet --no-cache gcc musl-dev mosquitto-dev; \
    fi; \
    gcc -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -o /build/guard.so \
        /build/broker_guard.c /build/broker_door.c -lmosquitto

FROM broker
COPY --from=builder /build/guard.so /usr/local/lib/amilab/guard.so
USER mosquitto
CMD ["env", "LD_PRELOAD=/usr/local/lib/amilab/guard.so", "mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
