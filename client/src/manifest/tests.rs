use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{LostSecret, Manifest, ManifestError, Request, decide, default_vector_db};
use crate::catalog::{Catalog, Preset, SecretFormat};
use crate::desired::tests::grant;
use crate::env_file::EnvFile;
use crate::keys::SERVICES;
use crate::selection::{self, Selection};

/// Random bytes that tests can foretell.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0_u8;
    move |buffer| {
        for byte in buffer {
            next = next.wrapping_mul(31).wrapping_add(7);
            *byte = next;
        }
    }
}

struct Setup {
    preset: &'static str,
    existing: Option<EnvFile>,
    overrides: Vec<(String, String)>,
    environment: BTreeMap<String, String>,
    occupied: BTreeSet<String>,
    busy: Vec<u16>,
}

fn setup() -> Setup {
    Setup {
        preset: "minimal",
        existing: None,
        overrides: Vec::new(),
        environment: BTreeMap::new(),
        occupied: BTreeSet::new(),
        busy: Vec::new(),
    }
}

fn run(setup: &Setup) -> Result<Manifest, ManifestError> {
    let catalog = Catalog::embedded();
    let grant = grant();
    let mut overrides = setup.overrides.clone();
    if setup.existing.is_none() && !setup.preset.is_empty() {
        let preset = clap::ValueEnum::from_str(setup.preset, false).unwrap();
        overrides.insert(0, wish(SERVICES, &selection::preset(&catalog, preset)));
    }
    let request = Request {
        grant: &grant,
        catalog: &catalog,
        existing: setup.existing.as_ref(),
        overrides: &overrides,
        environment: &setup.environment,
        occupied: &setup.occupied,
    };
    let mut free = |port| !setup.busy.contains(&port);
    decide(&request, &mut free, &mut counting())
}

fn text(setup: &Setup) -> String {
    run(setup).unwrap().file.render()
}

fn wish(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn strings(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn a_new_manifest() {
    insta::assert_snapshot!(text(&setup()));
}

#[test]
fn the_fixed_keys_stand_in_their_order() {
    let file = run(&setup()).unwrap().file;
    let keys: Vec<&str> = file.keys().take(28).collect();
    let expected = "BASE_DIR DOCKER_NETWORK DOMAIN_NAME LOCALHOST TENANT_NAME STACK_USER_UID \
        STACK_USER_GID OPENCLAW_UID OPENCLAW_GID APPARMOR_PROFILE_DIR VECTOR_DB SERVICES PORT_RANGE_START \
        PROMETHEUS_PORT GRAFANA_PORT N8N_PORT DIFY_PORT ANYTHINGLLM_PORT LITELLM_PORT \
        OPENWEBUI_PORT MINIO_S3_PORT MINIO_CONSOLE_PORT SIGNAL_PORT OPENCLAW_PORT FLOWISE_PORT \
        TAILSCALE_AUTH_KEY TAILSCALE_HOSTNAME TIME_SCALE";
    assert_eq!(
        keys.join(" "),
        expected.split_whitespace().collect::<Vec<_>>().join(" ")
    );
}

#[test]
fn a_second_run_changes_nothing() {
    let first = run(&setup()).unwrap().file;
    let second = run(&Setup {
        existing: Some(first.clone()),
        // Its own stack is what listens there now, and what its data is of.
        busy: (0..u16::MAX).collect(),
        occupied: strings(&["postgres", "pgvector", "n8n", "redis"]),
        ..setup()
    })
    .unwrap();
    assert_eq!(second.file.render(), first.render());
    assert!(second.added.is_empty() && second.changed.is_empty() && second.moved.is_empty());
}

#[test]
fn what_the_user_wrote_stays() {
    let existing = "# mine\nN8N_PORT=5177 # why\nMY_OWN=x\nTAILSCALE_AUTH_KEY=\nREDIS_PASSWORD=\n";
    let manifest = run(&Setup {
        existing: Some(EnvFile::parse(existing).unwrap()),
        ..setup()
    })
    .unwrap();
    let text = manifest.file.render();
    assert!(text.starts_with("# mine\nN8N_PORT=5177 # why\nMY_OWN=x\nTAILSCALE_AUTH_KEY=\n"));
    assert!(!manifest.added.contains(&"N8N_PORT".to_owned()));
    assert!(!manifest.added.contains(&"TAILSCALE_AUTH_KEY".to_owned()));
    assert!(manifest.added.contains(&"REDIS_PASSWORD".to_owned()));
    assert_eq!(manifest.file.get("REDIS_PASSWORD").unwrap().len(), 32);
}

#[test]
fn a_busy_port_moves_and_the_others_stay() {
    let manifest = run(&Setup {
        busy: vec![5102, 5140],
        ..setup()
    })
    .unwrap();
    assert_eq!(manifest.file.get("N8N_PORT"), Some("5141"));
    assert_eq!(manifest.file.get("DIFY_PORT"), Some("5103"));
    let moved: Vec<_> = manifest
        .moved
        .iter()
        .map(|m| (m.key.as_str(), m.usual, m.chosen))
        .collect();
    assert_eq!(moved, [("N8N_PORT", 5102, 5141)]);
}

#[test]
fn a_port_that_another_key_has_is_not_chosen() {
    let manifest = run(&Setup {
        existing: Some(EnvFile::parse("GRAFANA_PORT=5102\n").unwrap()),
        ..setup()
    })
    .unwrap();
    assert_eq!(manifest.file.get("N8N_PORT"), Some("5140"));
}

#[test]
fn a_full_range_is_an_error() {
    let error = run(&Setup {
        busy: (0..u16::MAX).collect(),
        ..setup()
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no free port for PROMETHEUS_PORT in 5100 to 5199; stop what listens there, or ask the administrator for more ports"
    );
}

#[test]
fn no_new_secret_over_existing_data() {
    let lost =
        |existing: Option<&str>, occupied: &[&str], overrides: Vec<(String, String)>| match run(
            &Setup {
                existing: existing.map(|text| EnvFile::parse(text).unwrap()),
                occupied: strings(occupied),
                overrides,
                ..setup()
            },
        ) {
            Ok(_) => String::new(),
            Err(ManifestError::SecretsLost { lost }) => super::list(&lost),
            Err(other) => panic!("{other}"),
        };
    let everything = ["n8n", "pgvector", "postgres", "prometheus", "redis"];
    assert_eq!(
        lost(None, &everything, vec![wish("VECTOR_DB", "pgvector")]),
        "pgvector (PGVECTOR_PASSWORD), postgres (POSTGRES_PASSWORD), n8n (N8N_ENCRYPTION_KEY)"
    );
    assert_eq!(
        lost(Some("POSTGRES_PASSWORD=\n"), &["postgres"], Vec::new()),
        "postgres (POSTGRES_PASSWORD)"
    );
    assert_eq!(
        lost(Some("POSTGRES_PASSWORD=x\n"), &["postgres"], Vec::new()),
        ""
    );
    assert_eq!(
        lost(None, &["postgres"], vec![wish("POSTGRES_PASSWORD", "x")]),
        ""
    );
    // These take effect with the next deploy, so a new one locks nothing out.
    assert_eq!(lost(None, &["redis", "litellm", "caddy"], Vec::new()), "");
    let text = ManifestError::SecretsLost {
        lost: vec![LostSecret {
            service: "n8n".to_owned(),
            key: "N8N_ENCRYPTION_KEY".to_owned(),
        }],
    }
    .to_string();
    for choice in [
        "n8n (N8N_ENCRYPTION_KEY)",
        "restore the old .env",
        "inside the service",
        "destroy",
    ] {
        assert!(text.contains(choice), "{text}");
    }
}

#[test]
fn overrides_win_and_are_known_keys() {
    let manifest = run(&Setup {
        existing: Some(EnvFile::parse("N8N_PORT=5102 # keep\nVECTOR_DB=pgvector\n").unwrap()),
        overrides: vec![
            wish("N8N_PORT", "5150"),
            wish("VECTOR_DB", "pgvector"),
            wish("CADDY_TLS", "me@example.com"),
            wish("REDIS_IMAGE", "docker.io/library/redis:8.10.2"),
        ],
        ..setup()
    })
    .unwrap();
    let text = manifest.file.render();
    assert!(text.starts_with("N8N_PORT=5150 # keep\n"));
    assert!(text.ends_with("# Given with --set.\nREDIS_IMAGE=docker.io/library/redis:8.10.2\n"));
    assert!(text.contains("CADDY_TLS=me@example.com\n"));
    assert_eq!(manifest.changed, ["N8N_PORT"]);
    let error = run(&Setup {
        overrides: vec![wish("N8N_PROT", "1")],
        ..setup()
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "--set N8N_PROT: no such key of the manifest"
    );
}

#[test]
fn secrets_look_as_the_catalog_says() {
    let file = run(&setup()).unwrap().file;
    let value = |key: &str| file.get(key).map(str::to_owned);
    let catalog = Catalog::embedded();
    for entry in Selection::of(&catalog, &value).unwrap().entries() {
        for secret in &entry.secrets {
            let value = file.get(&secret.key).unwrap();
            assert!(value.len() >= 24, "{}", secret.key);
            let random = value.trim_start_matches("sk-").trim_end_matches("-Aa1");
            assert!(random.bytes().all(|b| b.is_ascii_alphanumeric()));
            let every_kind = value.ends_with("-Aa1");
            assert_eq!(every_kind, secret.format == SecretFormat::Password);
        }
    }
    assert!(file.get("LITELLM_MASTER_KEY").unwrap().starts_with("sk-"));
}

#[test]
fn a_new_file_has_the_standard_preset_and_an_old_one_what_it_stood_for() {
    let catalog = Catalog::embedded();
    let new = run(&Setup {
        preset: "",
        ..setup()
    });
    let standard = selection::preset(&catalog, Preset::Standard);
    assert_eq!(new.unwrap().file.get(SERVICES), Some(&*standard));
    let old = run(&Setup {
        existing: Some(EnvFile::parse("VECTOR_DB=none\n").unwrap()),
        ..setup()
    })
    .unwrap();
    assert_eq!(
        old.file.get(SERVICES),
        Some("postgres,redis,litellm,n8n,prometheus,caddy")
    );
    assert!(old.added.contains(&SERVICES.to_owned()));
}

#[test]
fn only_what_the_stack_has_gets_keys() {
    let small = Setup {
        existing: Some(EnvFile::parse("SERVICES=prometheus\nVECTOR_DB=none\n").unwrap()),
        ..setup()
    };
    let file = run(&small).unwrap().file;
    for key in ["GRAFANA_PORT", "N8N_PORT", "PROMETHEUS_RETENTION"] {
        assert!(file.get(key).is_some(), "{key}");
    }
    for key in ["POSTGRES_PORT", "PGVECTOR_PASSWORD", "N8N_ENCRYPTION_KEY"] {
        assert!(file.get(key).is_none(), "{key}");
    }
    // Chosen later, also by the environment, what is missing is added.
    let later = Setup {
        existing: Some(file),
        environment: BTreeMap::from([wish(SERVICES, "n8n"), wish("VECTOR_DB", "pgvector")]),
        ..setup()
    };
    let manifest = run(&later).unwrap();
    for key in ["POSTGRES_PORT", "PGVECTOR_PASSWORD", "N8N_ENCRYPTION_KEY"] {
        assert!(manifest.added.contains(&key.to_owned()), "{key}");
    }
    assert_eq!(manifest.file.get(SERVICES), Some("prometheus"));
    assert!(!manifest.added.contains(&"CADDY_TLS".to_owned()));
}

#[test]
fn the_choice_may_refer_to_other_keys() {
    let manifest = run(&Setup {
        existing: Some(EnvFile::parse("MINE=n8n\nSERVICES=${MINE}\nVECTOR_DB=none\n").unwrap()),
        ..setup()
    });
    assert!(manifest.unwrap().file.get("N8N_DB_PASSWORD").is_some());
    // A reference to what is yet to be added is not an error.
    let literal = "SERVICES=n8n\nVECTOR_DB=none\nURL=http://127.0.0.1:${N8N_PORT}\n";
    let manifest = run(&Setup {
        existing: Some(EnvFile::parse(literal).unwrap()),
        ..setup()
    });
    assert!(manifest.unwrap().file.get("N8N_DB_PASSWORD").is_some());
}

#[test]
fn a_mistyped_service_is_reported_with_the_nearest() {
    let error = run(&Setup {
        overrides: vec![wish(SERVICES, "n8n,prometeus,pgvector")],
        ..setup()
    });
    assert_eq!(
        error.unwrap_err().to_string(),
        "SERVICES: there is no service \"prometeus\"; did you mean \"prometheus\"?; pgvector is \
         not chosen by name; set VECTOR_DB to pgvector"
    );
}

proptest! {
    #[test]
    fn ports_are_free_distinct_and_in_the_range(busy in proptest::collection::vec(5100_u16..5200, 0..60)) {
        let manifest = run(&Setup { busy: busy.clone(), ..setup() }).unwrap();
        let mut seen = BTreeSet::new();
        let catalog = Catalog::embedded();
        for value in catalog.port_keys().iter().filter_map(|(key, _)| manifest.file.get(key)) {
            let port: u16 = value.parse().unwrap();
            prop_assert!((5100..5200).contains(&port));
            prop_assert!(!busy.contains(&port));
            prop_assert!(seen.insert(port));
        }
        prop_assert!(seen.len() >= 17);
    }
}

#[test]
fn a_mistyped_key_is_reported_with_the_one_that_is_meant_and_no_key_of_ours_is() {
    let catalog = Catalog::embedded();
    for preset in ["minimal", "standard", "full"] {
        let setup = Setup { preset, ..setup() };
        let file = run(&setup).unwrap().file;
        assert_eq!(super::unknown(&catalog, &file, false), [""; 0], "{preset}");
    }
    let file = EnvFile::parse("N8N_PROT=5102\nREDIS_IMAGE=x\nFRUIT_OF_THE_DAY=plum\n").unwrap();
    assert_eq!(
        super::unknown(&catalog, &file, false),
        [
            "no service knows the key N8N_PROT of the .env; did you mean N8N_PORT?",
            "no service knows the key FRUIT_OF_THE_DAY of the .env",
        ]
    );
    // It may be a key of a service whose file has errors.
    assert_eq!(super::unknown(&catalog, &file, true).len(), 1);
}

#[test]
fn a_file_that_names_no_vector_database_has_the_one_of_its_time() {
    let of = |text: &str| default_vector_db(Some(&EnvFile::parse(text).unwrap()));
    assert_eq!(default_vector_db(None), "qdrant");
    assert_eq!(of(""), "qdrant");
    // `config unset VECTOR_DB` leaves such a file.
    assert_eq!(of("BASE_DIR=/x\nSERVICES=redis\n"), "qdrant");
    assert_eq!(of("BASE_DIR=/x\nPOSTGRES_PASSWORD=y\n"), "pgvector");
}
