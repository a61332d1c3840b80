# docker build -t cloud-provider-ovn:0.1.0 .
FROM rust:1.95-trixie AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release -p cpo -p ccm-proxy

FROM debian:trixie-slim
# ccm-proxy loads its packet filters with nft, and makes ports of a node's Open vSwitch with ovs-vsctl.
RUN apt-get update && apt-get install -y --no-install-recommends nftables openvswitch-switch && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/target/release/cpo /source/target/release/ccm-proxy /usr/local/bin/
USER 65532:65532
EXPOSE 9464
ENTRYPOINT ["/usr/local/bin/cpo"]
