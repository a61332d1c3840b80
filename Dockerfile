# docker build -t cloud-provider-ovn:0.1.0 .
FROM rust:1.95-trixie AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release -p cpo

FROM debian:trixie-slim
COPY --from=build /source/target/release/cpo /usr/local/bin/cpo
USER 65532:65532
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/cpo"]
