# Two stages: the first has the network and fetches packages by lock files, the second only runs.
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
COPY requirements.lock requirements-node.lock ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY config config
COPY media media
RUN .venv/bin/python -m media.forwarder.native.build
COPY package.json package-lock.json .npmrc ./
COPY web web
RUN .venv/bin/pip install --no-cache-dir --require-hashes --target /tmp/node -r requirements-node.lock \
    && PYTHONPATH=/tmp/node .venv/bin/python -m web.vendor \
    && rm -rf /tmp/node node_modules

FROM python:3.11-slim-bookworm
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends espeak-ng && rm -rf /var/lib/apt/lists/*
RUN useradd --system --create-home --home-dir /data --uid 10001 lamproom && chmod 700 /data
COPY --from=build /app/.venv .venv
COPY --from=build /app/web web
COPY config config
COPY media media
COPY --from=build /app/media/forwarder/native/built media/forwarder/native/built
COPY signaling signaling
COPY analytics analytics
COPY server server
COPY LICENSE README.md README.zh-CN.md package.json package-lock.json ./
USER lamproom
ENV LAMPROOM__SERVER__DATA_DIR=/data LAMPROOM__SERVER__LISTEN_HOST=0.0.0.0 LAMPROOM__MEDIA__LISTEN_HOST=0.0.0.0
VOLUME /data
EXPOSE 8443/tcp 8443/udp
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD [".venv/bin/python", "-m", "server", "healthy"]
ENTRYPOINT [".venv/bin/python", "-m", "server"]
CMD ["run"]
