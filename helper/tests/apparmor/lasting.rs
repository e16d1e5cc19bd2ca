//! What is true after a failure, a kill at the worst moment, and a boot.

use std::fs;
use std::os::unix::fs::symlink;

use crate::test_host::{A, ALL, BASE, OPENCLAW, PLATFORM, TestHost, plain};

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_load_that_the_kernel_refuses_leaves_the_previous_profile_everywhere() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    let before: Vec<String> = ALL.iter().map(|name| host.stored(name)).collect();
    let published = host.published(PLATFORM);
    host.tenant_writes(PLATFORM, plain(PLATFORM));
    host.install_parser(&host.stand_in("printf '%s' \"$text\" | grep -q /opt/ && exit 1"));
    assert_eq!(host.refused().await.0, "APPARMOR_NOT_COMPILED");
    let after: Vec<String> = ALL.iter().map(|name| host.stored(name)).collect();
    assert_eq!(after, before);
    assert_eq!(host.published(PLATFORM), published);
    assert_eq!(
        host.read(&format!("in-kernel-{PLATFORM}")).trim_end(),
        before[1].trim_end()
    );
    assert!(!host.path(&format!("kept/.{PLATFORM}.tmp")).exists());
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn another_profile_that_comes_or_changes_meanwhile_undoes_the_load() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    let before = host.stored(PLATFORM);
    host.tenant_writes(PLATFORM, plain(PLATFORM));
    let loaded = host.path("loaded");
    let once = host.path("once");
    host.install_parser(&host.stand_in(&format!(
        "[ -e {1} ] || {{ echo 'evil (enforce)' >> {0}; touch {1}; }}",
        loaded.display(),
        once.display()
    )));
    let (reason, text) = host.refused().await;
    assert_eq!(reason, "APPARMOR_NOT_VERIFIED", "{text}");
    assert!(
        !text.contains("evil"),
        "other profiles are nobody's business"
    );
    assert_eq!(host.stored(PLATFORM), before);
    assert_eq!(
        host.read(&format!("in-kernel-{PLATFORM}")).trim_end(),
        before.trim_end()
    );
    assert!(host.load().await.unwrap(), "the next one goes through");
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_profile_that_cannot_be_restored_is_withdrawn_and_loaded_anew_later() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    host.tenant_writes(PLATFORM, plain(PLATFORM));
    host.install_parser(&host.stand_in("exit 1"));
    assert_eq!(host.refused().await.0, "APPARMOR_NOT_COMPILED");
    assert!(
        host.published(PLATFORM).is_empty(),
        "the gateway must not use it"
    );
    assert!(host.path(&format!("kept/.{PLATFORM}.tmp")).exists());
    // The tenant goes back to what is kept: what the kernel has is unknown all the same.
    fs::remove_file(host.sources().join(PLATFORM)).unwrap();
    host.install_parser(&host.stand_in(""));
    host.forget_loads();
    assert!(host.load().await.unwrap());
    assert_eq!(host.loads(), [format!("-r {PLATFORM}")]);
    assert!(!host.path(&format!("kept/.{PLATFORM}.tmp")).exists());
    assert!(!host.published(PLATFORM).is_empty());
}

/// The state that a kill between the load into the kernel and the rename leaves.
fn cut_off(host: &TestHost) {
    let staged = host.stored(PLATFORM).replace("profile", "# newer\nprofile");
    host.write(&format!("kept/.{PLATFORM}.tmp"), &staged);
    host.write(&format!("in-kernel-{PLATFORM}"), &staged);
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_load_that_was_killed_before_the_rename_is_reconciled() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    let kept = host.stored(PLATFORM);
    let in_kernel = || host.read(&format!("in-kernel-{PLATFORM}"));
    let is_reconciled = || {
        assert_eq!(in_kernel().trim_end(), kept.trim_end());
        assert_eq!(host.stored(PLATFORM), kept);
        assert!(!host.path(&format!("kept/.{PLATFORM}.tmp")).exists());
    };
    // By the next load of the same sources ...
    cut_off(&host);
    assert!(host.load().await.unwrap());
    is_reconciled();
    // ... and at the next boot.
    cut_off(&host);
    let failed = host.ops().boot_profiles(&host.policy("required")).await;
    assert!(failed.is_empty(), "{failed:?}");
    is_reconciled();
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_boot_loads_what_is_missing_publishes_it_all_and_leaves_strangers_alone() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    let kept = host.stored(BASE);
    fs::remove_dir_all(host.path("published")).unwrap();
    host.write(
        "loaded",
        &format!("{BASE} (enforce)\n{OPENCLAW} (enforce)\n"),
    );
    // Somebody else's file, a UID that is not a tenant, and numbers that are not written so.
    for name in [
        "ai-base-1",
        "ai-base-062401",
        "ai-base-",
        "ai-base-x",
        "usr.bin.man",
    ] {
        host.write(&format!("kept/{name}"), &kept);
    }
    host.forget_loads();
    let policy = host.policy("required");
    let failed = host.ops().boot_profiles(&policy).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(host.loads(), [format!("-r {PLATFORM}")]);
    let mut published: Vec<String> = fs::read_dir(host.path("published"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    published.sort();
    assert_eq!(published, ALL);

    // A kept file that defines something else is not loaded, and is reported.
    host.write("loaded", "");
    fs::remove_dir_all(host.path("published")).unwrap();
    host.write(&format!("kept/{PLATFORM}"), "profile docker-default {\n}\n");
    host.forget_loads();
    let failed = host.ops().boot_profiles(&policy).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0].0, PLATFORM);
    assert_eq!(host.loads().len(), 2);
    assert!(host.published(PLATFORM).is_empty());
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_link_or_directory_in_the_place_of_a_stored_copy_is_refused() {
    let host = TestHost::start();
    let place = host.path(&format!("kept/{PLATFORM}"));
    let target = host.path("target");
    fs::write(&target, "untouched").unwrap();
    symlink(&target, &place).unwrap();
    assert_eq!(host.refused().await.0, "APPARMOR_PLACE_TAKEN");
    fs::remove_file(&place).unwrap();
    fs::create_dir(&place).unwrap();
    assert_eq!(host.refused().await.0, "APPARMOR_PLACE_TAKEN");
    fs::remove_dir(&place).unwrap();
    fs::write(&place, "x").unwrap();
    std::os::unix::fs::chown(&place, Some(A), None).unwrap();
    assert_eq!(host.refused().await.0, "APPARMOR_PLACE_TAKEN");
    fs::remove_file(&place).unwrap();
    // The staged name is the helper's own: a link there is removed, not followed.
    symlink(&target, host.path(&format!("kept/.{PLATFORM}.tmp"))).unwrap();
    assert!(host.load().await.unwrap());
    assert_eq!(fs::read_to_string(target).unwrap(), "untouched");
}

/// Many loads at once, of one tenant and of the same files: they run one after the other.
#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn loads_at_once_are_one_after_the_other() {
    let host = TestHost::start();
    let ops = std::sync::Arc::new(host.ops());
    let running = host.path("running");
    host.install_parser(&host.stand_in(&format!(
        "mkdir {0} || exit 1; sleep 0.05; rmdir {0}",
        running.display()
    )));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (ops, grant) = (std::sync::Arc::clone(&ops), host.grant());
            tokio::spawn(async move { ops.load_apparmor(&grant).await })
        })
        .collect();
    let mut changed = 0;
    for task in tasks {
        let (answer, _) = task.await.unwrap().unwrap();
        changed += usize::from(answer.changed);
    }
    assert_eq!(changed, 1);
    assert_eq!(host.loads().len(), 3);
}
