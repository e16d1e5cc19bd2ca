//! The gRPC contract between the `aistack` client and `aistack-helper`, generated from
//! `proto/aistack/helper/v1/helper.proto`; the comments there are the documentation here.

/// Version 1 of the contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod v1 {
    tonic::include_proto!("aistack.helper.v1");
}

/// The encoded `FileDescriptorSet` of the contract; tests enumerate the service's methods with it.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/helper.fds"));

/// The `domain` of every `google.rpc.ErrorInfo` that the helper sends.
pub const ERROR_DOMAIN: &str = "aistack.helper";

/// Where the helper listens when nothing else is said.
pub const HELPER_SOCKET: &str = "/run/aistack/helper.sock";

/// Where the engine gateway listens when nothing else is said.
pub const ENGINE_SOCKET: &str = "/run/aistack/engine.sock";

/// How the gateway's answer begins, with status 503, when Docker's socket could not be reached: nothing was
/// done, and whoever asks again does nothing twice.
pub const DOCKER_AWAY: &str = "Docker does not answer";

/// The reason in the helper's error that says the same.
pub const DOCKER_UNREACHABLE: &str = "DOCKER_UNREACHABLE";
