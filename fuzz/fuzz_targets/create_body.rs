//! Any bytes get an answer from the gateway's judges of bodies, and whatever is accepted keeps every
//! wall in what Docker would read.
#![no_main]

use aistack_helper::engine::vet::exec::{CanonicalExec, ExecStart};
use aistack_helper::engine::vet::working_dir::Layout;
use aistack_policy::engine::ApiVersion;
use libfuzzer_sys::fuzz_target;

#[path = "../../helper/tests/vet_corpus_isolation/mod.rs"]
mod isolation;

fuzz_target!(|body: &[u8]| {
    let grant = isolation::grant();
    let layout = Layout {
        mounts: vec!["/data"],
        read_only: false,
        own: "",
    };
    for api in [24, 41, 42, 44, 52, 56].map(ApiVersion::v1) {
        let spoken = api.max(ApiVersion::OLDEST_SPOKEN);
        if let Ok(canonical) = isolation::vet(&grant, body, api) {
            isolation::check_isolation(&grant, &isolation::go_reads(&canonical.render(spoken)));
        }
        if let Ok(exec) = CanonicalExec::decide(&grant, "1001:1001", &layout, body, api) {
            let read = isolation::go_reads(&exec.render(spoken));
            assert!(read["user"] == "1001:1001" || read["user"] == "2001:2001");
            assert_eq!(read["privileged"], false);
        }
        if let Ok(start) = ExecStart::parse(body, api) {
            assert_eq!(ExecStart::parse(&start.render(api), api), Ok(start));
        }
    }
});
