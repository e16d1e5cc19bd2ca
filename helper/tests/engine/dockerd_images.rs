//! Images of this host and of a registry, through the gateway to the real dockerd: whose they are, and what they
//! may hide.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::dockerd::{DOCKER, fails, ok, root};
use super::test_host::{TestHost, said};

/// A registry of small images: registry.py.
struct Registry {
    server: Child,
    port: u16,
}

impl Registry {
    fn start(port: u16) -> Self {
        let server = Command::new("python3")
            .args(["-c", include_str!("registry.py")])
            .args([&port.to_string(), std::env::consts::ARCH])
            .spawn()
            .unwrap();
        let registry = Self { server, port };
        let until = Instant::now() + Duration::from_mins(1);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "no registry");
            std::thread::sleep(Duration::from_millis(20));
        }
        registry
    }

    fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/aistack-dev/{name}:1", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Removes what a test of images made. Its tenants are no other test's: tests run beside each other.
struct NoImages {
    uids: Vec<u32>,
    images: Vec<String>,
}

impl Drop for NoImages {
    fn drop(&mut self) {
        for uid in &self.uids {
            root(&["rm", "-f", "-v", &format!("tenant-{uid}-x")]);
        }
        for image in &self.images {
            root(&["rmi", image]);
        }
    }
}

const CLIENT: &str = "/usr/bin/docker";

/// A gateway before the real dockerd, without any image.
fn prepare_without_images() -> TestHost {
    TestHost::start_with(Path::new(DOCKER), |_| Vec::new())
}

/// The words that make a container of this image and pull nothing.
fn create(uid: u32, image: &str) -> Vec<String> {
    let name = format!("tenant-{uid}-x");
    let words = [
        "create",
        "--pull",
        "never",
        "--network",
        "none",
        "-m",
        "64m",
        "--name",
        &name,
        image,
        "x",
    ];
    words.map(str::to_owned).to_vec()
}

/// What makes a container of this image says.
fn created(host: &TestHost, uid: u32, image: &str) -> (bool, String) {
    let output = host
        .docker(CLIENT, uid)
        .args(create(uid, image))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.success(), said(&output))
}

#[test]
#[ignore = "needs root and a Docker Engine"]
fn an_image_of_this_host_is_nobodys_until_it_is_pulled() {
    const HOSTS: &str = "docker.io/library/aistack-dev-host:1";
    let host = prepare_without_images();
    let [first, second] = [62005, 62006];
    let registry = Registry::start(25250);
    // An index names one more digest than its manifest.
    let pulled = ["empty", "index"].map(|name| registry.image(name));
    let _clean = NoImages {
        uids: vec![first, second],
        images: pulled.iter().cloned().chain([HOSTS.to_owned()]).collect(),
    };
    let archive = host.dir.path().join("host.tar");
    let mut tar = Command::new("tar");
    let tar = tar.arg("-C").arg(host.dir.path()).arg("-cf").arg(&archive);
    assert!(tar.arg("policy.toml").status().unwrap().success());
    root(&["import", archive.to_str().unwrap(), HOSTS]);
    for image in &pulled {
        root(&["pull", image]);
    }
    let cannot = |uid: u32, image: &str| {
        let (made, text) = created(&host, uid, image);
        assert!(!made && text.contains("No such image"), "{image}: {text}");
        let inspect = ["image", "inspect", image];
        fails(&host, CLIENT, uid, &inspect, "No such image");
    };
    for uid in [first, second] {
        let images = ok(&host, CLIENT, uid, &["images"]);
        assert!(
            !images.contains("25250") && !images.contains("-host"),
            "{images}"
        );
        cannot(uid, HOSTS);
    }
    for image in &pulled {
        for (uid, other) in [(first, Some(second)), (second, None)] {
            cannot(uid, image);
            let said = ok(&host, CLIENT, uid, &["pull", image]);
            assert!(said.contains("Image is up to date"), "{said}");
            let digests = ok(&host, CLIENT, uid, &["images", "--digests"]);
            let format = "{{index .RepoDigests 0}} {{.Id}} {{.Os}} {{.RepoTags}}";
            let shown = ok(
                &host,
                CLIENT,
                uid,
                &["image", "inspect", "--format", format, image],
            );
            let [digest, id, "linux", tags] = shown.split_whitespace().collect::<Vec<_>>()[..]
            else {
                panic!("{shown}");
            };
            assert_eq!(tags, format!("[{image}]"));
            let (_, hex) = digest.split_once('@').unwrap();
            assert!(digests.contains(hex), "{digests}");
            // An id is a name for looking, never for making.
            ok(&host, CLIENT, uid, &["image", "inspect", id]);
            let (made, text) = created(&host, uid, id);
            assert!(!made && text.contains("not given by its id"), "{text}");
            for image in [image.as_str(), digest] {
                let (made, text) = created(&host, uid, image);
                assert!(made, "{text}");
                let name = format!("tenant-{uid}-x");
                let format = ["inspect", "--format", "{{.Config.Image}} {{.Image}}", &name];
                let shown = ok(&host, CLIENT, uid, &format);
                assert_eq!(shown.trim(), format!("{image} {id}"));
                ok(&host, CLIENT, uid, &["rm", &name]);
            }
            if let Some(other) = other {
                cannot(other, image);
                cannot(other, digest);
                fails(
                    &host,
                    CLIENT,
                    other,
                    &["image", "inspect", id],
                    "No such image",
                );
            }
        }
    }
}

/// Containerd's image store shows nothing of a manifest that its index calls an attestation, and makes
/// containers from it all the same. A graph driver shows it, and its volume becomes a tmpfs.
#[test]
#[ignore = "needs root and a Docker Engine"]
fn an_image_that_hides_its_volume_gets_none() {
    let host = prepare_without_images();
    let uid = 62007;
    let registry = Registry::start(25251);
    let image = registry.image("misleads");
    let _clean = NoImages {
        uids: vec![uid],
        images: vec![image.clone()],
    };
    ok(&host, CLIENT, uid, &["pull", &image]);
    let name = format!("tenant-{uid}-x");
    let (made, text) = created(&host, uid, &image);
    let mounts = root(&["inspect", "--format", "{{json .Mounts}}", &name]);
    if made {
        assert!(
            mounts.starts_with('[') && !mounts.contains("volume"),
            "{mounts}"
        );
    } else {
        assert!(text.contains("did not match"), "{text}");
        assert!(text.contains("builtin.no-volumes"), "{text}");
        assert!(host.audit().contains("\"container.misled\""));
        assert!(mounts.contains("No such"), "{mounts}");
    }
}
