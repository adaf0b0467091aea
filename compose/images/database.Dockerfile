# PostgreSQL 17 and TimescaleDB (Apache edition) from Debian's packages, laid out like the official image.
FROM debian:trixie-slim
COPY compose/certificates/ /usr/local/share/ca-certificates/
COPY compose/images/fetch.sh /usr/local/bin/fetch
RUN fetch apt-get update -qq \
    && mkdir -p /etc/postgresql-common \
    && printf 'create_main_cluster = false\n' >/etc/postgresql-common/createcluster.conf \
    && DEBIAN_FRONTEND=noninteractive fetch apt-get install -y -qq --no-install-recommends \
        postgresql-17 postgresql-17-timescaledb >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && mkdir -p /docker-entrypoint-initdb.d /var/lib/postgresql/data \
    && chown postgres:postgres /var/lib/postgresql/data && chmod 700 /var/lib/postgresql/data && chmod 3777 /run/postgresql
COPY --chmod=755 compose/images/database-entrypoint.sh /usr/local/bin/database-entrypoint
ENV PATH=/usr/lib/postgresql/17/bin:$PATH PGDATA=/var/lib/postgresql/data LANG=C.UTF-8
USER postgres
ENTRYPOINT ["database-entrypoint"]
CMD ["postgres"]
