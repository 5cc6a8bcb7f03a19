//! Generates the SnapshotMetadata client from `proto/`, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../../proto/snapshot_metadata.proto";
    println!("cargo::rerun-if-changed={proto}");
    let descriptors = protox::compile([proto], ["../../proto"])?;
    // A server is only needed to test the client against.
    tonic_prost_build::configure()
        .build_transport(false)
        .server_mod_attribute("snapshotmetadata", "#[cfg(test)]")
        .compile_fds(descriptors)?;
    Ok(())
}
