# Mosquitto from Debian's packages, laid out like the official image.
FROM debian:trixie-slim
COPY compose/certificates/ /usr/local/share/ca-certificates/
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mosquitto netcat-openbsd >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && mkdir -p /mosquitto/config /mosquitto/data && chown mosquitto /mosquitto/data
USER mosquitto
CMD ["mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]
