# The image for those who have docker; `make image` builds the same one without it.
FROM docker.io/library/rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN host="$(rustc -vV | sed -n 's/^host: //p')" \
    && cargo build --release --locked --target "$host" --bin ferry \
    && cp "target/$host/release/ferry" /ferry

FROM scratch
COPY --from=build /ferry /ferry
USER 65532:65532
ENTRYPOINT ["/ferry"]
