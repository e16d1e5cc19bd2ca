//! PrepareDirectories on a real volume, also against a tenant who exchanges names.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use aistack_helper::ops::{self, DirKind, DirOwner, ServiceDir};
use aistack_helper::service_name::ServiceName;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::test_host::{A, TestHost, as_the_helper, runtime};

pub(crate) fn dir(service: &str, kind: DirKind, owner: DirOwner) -> ServiceDir {
    ServiceDir {
        service: ServiceName::try_from(service.to_owned()).unwrap(),
        kind,
        owner,
    }
}

fn services() -> Vec<ServiceDir> {
    vec![
        dir("n8n", DirKind::Etc, DirOwner::Tenant),
        dir("n8n", DirKind::Data, DirOwner::Tenant),
        dir("openclaw", DirKind::Data, DirOwner::Service),
        dir("openclaw", DirKind::Logs, DirOwner::Service),
        dir("openclaw", DirKind::Etc, DirOwner::Service),
    ]
}

fn of(path: &Path) -> (u32, u32, u32) {
    let data = std::fs::symlink_metadata(path).unwrap();
    (data.uid(), data.gid(), data.mode() & 0o7777)
}

fn prepare(host: &TestHost) -> Result<(u32, u32), &'static str> {
    let grant = host.grant();
    let answer =
        as_the_helper(|| runtime().block_on(ops::prepare_directories(&grant, &services())));
    answer
        .map(|answer| (answer.created, answer.existing))
        .map_err(|error| error.reason())
}

#[test]
#[ignore = "needs root"]
fn directories_get_the_owners_and_modes_of_the_design() {
    let host = TestHost::start();
    assert_eq!(prepare(&host), Err("VOLUME_NOT_MOUNTED"));
    host.mount();
    assert_eq!(prepare(&host), Ok((12, 0)));
    assert_eq!(prepare(&host), Ok((0, 12)));
    let service = A + 1000;
    let expected = [
        ("apparmor", (A, A, 0o700)),
        ("config", (A, A, 0o700)),
        ("etc", (0, 0, 0o711)),
        ("data", (0, 0, 0o711)),
        ("logs", (0, 0, 0o711)),
        ("ssl", (0, 0, 0o711)),
        ("ssl/certs", (A, A, 0o700)),
        ("etc/n8n", (A, A, 0o750)),
        ("data/n8n", (A, A, 0o700)),
        ("data/openclaw", (service, service, 0o700)),
        ("logs/openclaw", (service, service, 0o700)),
        ("etc/openclaw", (A, service, 0o750)),
    ];
    for (name, owner) in expected {
        assert_eq!(of(&host.base().join(name)), owner, "{name}");
    }
}

#[test]
#[ignore = "needs root"]
fn what_a_kill_left_behind_is_finished_and_what_is_not_ours_is_refused() {
    let host = TestHost::start();
    host.mount();
    // mkdir was done, chmod and chown were not.
    let base = host.base();
    for name in ["config", "data", "data/openclaw"] {
        std::fs::create_dir(base.join(name)).unwrap();
        std::fs::set_permissions(base.join(name), std::fs::Permissions::from_mode(0o700)).unwrap();
    }
    // "data" has its owner already, so it is not counted as made.
    assert_eq!(prepare(&host), Ok((11, 1)));
    assert_eq!(of(&base.join("data")), (0, 0, 0o711));
    assert_eq!(of(&base.join("config")), (A, A, 0o700));

    let data = base.join("data/n8n");
    chown(&data, Some(A + 7), Some(A)).unwrap();
    assert_eq!(prepare(&host), Err("WRONG_OWNER"));
    chown(&data, Some(0), Some(0)).unwrap();
    std::fs::write(data.join("file"), "").unwrap();
    assert_eq!(
        prepare(&host),
        Err("WRONG_OWNER"),
        "a root directory with content is not ours"
    );
    std::fs::remove_file(data.join("file")).unwrap();
    std::fs::remove_dir(&data).unwrap();
    symlink("/etc", &data).unwrap();
    assert_eq!(prepare(&host), Err("UNSAFE_PATH"));
    std::fs::remove_file(&data).unwrap();
    std::fs::write(&data, "").unwrap();
    assert_eq!(prepare(&host), Err("UNSAFE_PATH"));
    std::fs::remove_file(&data).unwrap();
    chown(base.join("data"), Some(A), Some(A)).unwrap();
    assert_eq!(prepare(&host), Err("WRONG_OWNER"));
    chown(base.join("data"), Some(0), Some(0)).unwrap();
    assert_eq!(prepare(&host), Ok((1, 11)));
}

#[test]
#[ignore = "needs root"]
fn one_call_is_bounded() {
    let host = TestHost::start();
    let many: Vec<_> = (0..129)
        .map(|number| dir(&format!("s{number}"), DirKind::Data, DirOwner::Tenant))
        .collect();
    let answer = runtime().block_on(ops::prepare_directories(&host.grant(), &many));
    assert_eq!(answer.unwrap_err().reason(), "TOO_LARGE");
}

/// Exchanges two names as quickly as it can while `race` runs.
pub(crate) fn exchanging<T>(one: &Path, other: &Path, race: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
            }
        });
        let result = race();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
#[ignore = "needs root"]
fn exchanged_names_never_lead_outside() {
    let host = TestHost::start();
    host.mount();
    assert_eq!(prepare(&host), Ok((12, 0)));
    let outside = host.run().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let before = of(&outside);
    let (victim, link) = (host.base().join("data"), host.base().join("link"));
    symlink(&outside, &link).unwrap();
    let (mut done, mut refused) = (0, 0);
    exchanging(&victim, &link, || {
        for round in 0..3000 {
            match prepare(&host) {
                Ok(_) => done += 1,
                Err(_) => refused += 1,
            }
            if round > 100 && done > 0 && refused > 0 {
                break;
            }
        }
    });
    assert!(
        done > 0 && refused > 0,
        "the race never happened: {done} {refused}"
    );
    assert_eq!(of(&outside), before);
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}
