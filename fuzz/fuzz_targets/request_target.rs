//! Any request line gets an answer, and what Docker is sent for an accepted one is plain, and is
//! the same call when it is read again.
#![no_main]

use aistack_helper::engine::vet::target::Endpoint;
use libfuzzer_sys::fuzz_target;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fuzz_target!(|line: &str| {
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let Ok(Endpoint::Container { call, .. }) = Endpoint::parse(method, target) else {
        return;
    };
    let (method, path) = call.upstream(ID);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/?&=%._~-".contains(&byte);
    assert!(path.bytes().all(plain), "{path}");
    match Endpoint::parse(method.as_str(), &path) {
        Ok(Endpoint::Container { reference, call }) => {
            assert_eq!(reference, ID);
            assert_eq!(call.upstream(ID), (method, path));
        }
        other => panic!("{path}: {other:?}"),
    }
});
