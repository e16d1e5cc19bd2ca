//! Compiles `helper.proto` with protox, so that no system `protoc` is needed.

use miette::IntoDiagnostic;

fn main() -> miette::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["aistack/helper/v1/helper.proto"], ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR").into_diagnostic()?);
    // The descriptor set lets a test enumerate every method of the service.
    std::fs::write(out.join("helper.fds"), prost_bytes(&descriptors)).into_diagnostic()?;
    tonic_prost_build::configure()
        .build_client(std::env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(std::env::var_os("CARGO_FEATURE_SERVER").is_some())
        .compile_fds(descriptors)
        .into_diagnostic()
}

fn prost_bytes(message: &impl protox::prost::Message) -> Vec<u8> {
    message.encode_to_vec()
}
