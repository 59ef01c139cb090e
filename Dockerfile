# orcha: the controller and the exporter in one image (docs/image.md). In the root of the repository:
#   docker build -t orcha --build-arg REVISION="$(git rev-parse HEAD)" .
# scripts/image.py carries out the same steps without a container engine; tests/deploy/test_image.py starts what comes out.

# The Python that the tests run with. To build the same twice, name it by its digest as well:
#   --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /build
# What builds stays in an environment of its own; what runs has no pip to begin with.
COPY requirements/build.lock requirements/image.lock requirements/
RUN python -m venv tools \
 && tools/bin/python -m pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: -r requirements/build.lock
RUN python -m venv --without-pip /opt/orcha \
 && tools/bin/python -m pip --python /opt/orcha/bin/python install --no-cache-dir --require-hashes --only-binary :all: \
    -r requirements/image.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY exporters exporters
COPY controller controller
RUN tools/bin/python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && tools/bin/python -m pip --python /opt/orcha/bin/python install --no-cache-dir --no-deps --no-index dist/*.whl
COPY scripts/sbom.py scripts/
RUN mkdir share && tools/bin/python scripts/sbom.py /opt/orcha --output share/orcha.cdx.json
# Tests of the libraries and their commands are not needed to run orcha.
RUN find /opt/orcha/lib -depth -type d -name tests -exec rm -rf '{}' + \
 && find /opt/orcha/bin -type f -not -name 'orcha*' -delete

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="orcha" \
      org.opencontainers.image.description="The controller for people who run DePIN nodes: watches what each protocol really earns and works out a better split." \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# Nothing in the image installs anything.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/lib/python3.*/ensurepip \
    /usr/local/lib/python3.*/site-packages/pip* /usr/local/lib/python3.*/site-packages/setuptools* \
    /usr/local/lib/python3.*/site-packages/pkg_resources /usr/local/lib/python3.*/site-packages/_distutils_hack \
    /usr/local/lib/python3.*/site-packages/distutils-precedence.pth /usr/local/lib/python3.*/site-packages/wheel* \
 && install -d -m 0755 /etc/orcha /etc/orcha/manifests /etc/orcha/secrets /usr/share/orcha \
 && install -d -m 0750 -o 65532 -g 65532 /var/lib/orcha
COPY --from=build /opt/orcha /opt/orcha
COPY --from=build /build/share/orcha.cdx.json /build/LICENSE /usr/share/orcha/
COPY deploy/image/healthz.py /usr/share/orcha/healthz.py
# The user has no line in /etc/passwd: USER and HOME tell libraries what they would look up there.
ENV PATH=/opt/orcha/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/var/lib/orcha USER=orcha \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ORCHA_REVISION=${REVISION}
USER 65532:65532
# Without `state` in Settings, the state is orcha.db here.
WORKDIR /var/lib/orcha
EXPOSE 9872/tcp 9871/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["python", "/usr/share/orcha/healthz.py"]
ENTRYPOINT ["orcha"]
CMD ["run", "--manifests", "/etc/orcha/manifests"]
