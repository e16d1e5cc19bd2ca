//! Errors that one entry makes in view of the others.

use super::ENTRY;
use crate::catalog::Catalog;

/// The same entry under another name and with a place of its own, with more lines at the top.
fn other(name: &str, offset: usize, top: &str) -> String {
    ENTRY
        .replace("start_timeout", &format!("{top}start_timeout"))
        .replace("THING", &name.to_uppercase())
        .replace(":thing", &format!(":{name}"))
        .replace("offset = 20", &format!("offset = {offset}"))
}

/// What is wrong with `thing`, given more lines at its top (from line 5) and at its end (from line
/// 45), beside `store`, the vector database `vec`, `user` of `thing` and a proxy.
fn said(top: &str, end: &str) -> Vec<String> {
    let thing = ENTRY.replace("start_timeout", &format!("{top}start_timeout"));
    let thing = format!("{thing}{end}");
    let vec =
        "when = { key = \"VECTOR_DB\", is = \"vec\" }\nvector_db = { port = 1, url = \"x\" }\n";
    let site = "[site]\nhost = \"store\"\nport = 1\ncheck = \"/\"\n";
    let proxy = other("proxy", 44, "").replace("\"http\"", "\"https\"");
    let sources = [
        ("proxy", proxy.replace("\"services\"", "\"ingress\"")),
        ("store", format!("{}{site}", other("store", 41, ""))),
        ("vec", other("vec", 42, vec)),
        ("user", other("user", 43, "needs = [\"thing\"]\n")),
        ("thing", thing),
    ];
    let sources: Vec<(&str, &str)> = sources
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    match Catalog::load(&sources) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

const SITE: &str = "[site]\nhost = \"thing\"\nport = 80\ncheck = \"/\"\n";
const CHECK: &str = "[[check]]\nkind = \"http\"\ntitle = \"asks\"\nport = \"THING_PORT\"\n";

/// What stands at the top and at the end, and the one error in it.
const CASES: &[(&str, &str, &str)] = &[
    (
        "group = \"Du o\"\n",
        "",
        "5:9: \"Du o\" is not a name of a group",
    ),
    (
        "group = \"store\"\n",
        "",
        "5:9: \"store\" is a service; give the group another name",
    ),
    (
        "requires = { key = \"NOTHING\", why = \"x\" }\n",
        "",
        "5:20: \"NOTHING\" is not a key of the manifest",
    ),
    (
        "requires = { key = \"TAILSCALE_AUTH_KEY\", why = \" \" }\n",
        "",
        "5:1: `requires.why` is empty",
    ),
    (
        "when = { key = \"NOTHING\" }\n",
        "",
        "5:16: \"NOTHING\" is not a key of the manifest",
    ),
    (
        "when = { key = \"VECTOR_DB\", is = \"faiss\" }\n",
        "",
        "5:34: VECTOR_DB is never \"faiss\": no service has [vector_db] of that name",
    ),
    (
        "presets = [\"full\"]\nwhen = { key = \"VECTOR_DB\", is = \"vec\" }\n",
        "",
        "5:1: `presets` choose by name, and `when` decides",
    ),
    (
        "group = \"duo\"\nwhen = { key = \"VECTOR_DB\", is = \"vec\" }\n",
        "",
        "5:1: `group` chooses by name, and `when` decides",
    ),
    (
        "vector_db = { port = 1, url = \"x\" }\n",
        "",
        "5:1: a vector database has `when = { key = \"VECTOR_DB\", is = \"thing\" }`",
    ),
    (
        "needs = [\"gone\"]\n",
        "",
        "5:10: it needs \"gone\", which is not a service",
    ),
    (
        "needs = [\"user\"]\n",
        "",
        "5:10: it needs \"user\", which needs thing",
    ),
    (
        "needs = [\"vec\"]\n",
        "",
        "5:10: it needs \"vec\", which not every stack has: only with VECTOR_DB=vec",
    ),
    (
        "after = [\"gone\"]\n",
        "",
        "5:10: it starts after \"gone\", which is not a service",
    ),
    (
        "after = [\"thing\"]\n",
        "",
        "5:10: it starts after \"thing\", which is itself",
    ),
    (
        "after = [\"user\"]\n",
        "",
        "5:10: it starts after \"user\", which waits for thing",
    ),
    (
        "network_of = \"gone\"\n",
        "",
        "5:14: it needs \"gone\", which is not a service",
    ),
    (
        "network_of = \"store\"\n",
        "",
        "26:1: it is in the network of store, which is where its ports stand",
    ),
    (
        "",
        "[[variant]]\nwhen = { key = \"NOTHING\", is = \"x\" }\n",
        "46:16: \"NOTHING\" is not a key of the manifest",
    ),
    (
        "",
        "[[variant]]\nwhen = { key = \"VECTOR_DB\", is = \"faiss\" }\n",
        "46:34: VECTOR_DB is never \"faiss\"",
    ),
    (
        "",
        "[[variant]]\nwhen = { key = \"VECTOR_DB\", is = \"none\" }\nneeds = [\"vec\"]\n",
        "47:10: it needs \"vec\", which not every stack has",
    ),
    (
        "",
        "[[variant]]\nwhen = { key = \"VECTOR_DB\", is = \"vec\" }\nenvironment = { \"a b\" = \"x\" }\n",
        "47:18: \"a b\" is not a name of a variable",
    ),
    (
        "",
        "[[variant]]\nwhen = { key = \"VECTOR_DB\", is = \"none\" }\nenvironment = { A = \"${VEC_PASSWORD}\" }\n",
        "47:24: `${VEC_PASSWORD}`: it is a key of a service that this one does not need",
    ),
    (
        "",
        "[[variant]]\nwhen = { key = \"VECTOR_DB\", is = \"vec\" }\n[[variant.database]]\nprovider = \"store\"\nname = \"x\"\npassword = \"THING_PASSWORD\"\n",
        "48:12: its database is in \"store\", which it does not need",
    ),
    (
        "needs = [\"store\"]\n",
        "[[database]]\nprovider = \"store\"\nname = \"x\"\npassword = \"NOTHING\"\n",
        "49:12: \"NOTHING\" is not a key of the manifest",
    ),
    (
        "",
        "[[secret]]\nkey = \"STORE_PASSWORD\"\nformat = \"hex64\"\nchange = \"deploy\"\n",
        "46:7: \"STORE_PASSWORD\" is declared by store already",
    ),
    (
        "",
        "[[setting]]\nkey = \"THING_PASSWORD\"\ndefault = \"\"\n",
        "42:7: \"THING_PASSWORD\" is declared twice",
    ),
    (
        "",
        "[site]\nhost = \"store\"\nport = 1\ncheck = \"/\"\n",
        "46:8: the host \"store\" is also that of store",
    ),
    (
        "",
        "[[site.route]]\npath = \"/a b\"\nservice = \"store\"\nport = 1\n",
        "50:8: \"/a b\" is not a path of a route",
    ),
    (
        "",
        "[[site.route]]\npath = \"/a/*\"\nservice = \"gone\"\nport = 1\n",
        "51:11: the route /a/* leads to \"gone\", which is not a service",
    ),
    (
        "",
        "[each]\nsite = \"${item.path}\"\n",
        "46:11: `${item.path}`: this list has none",
    ),
    (
        "",
        "[each]\nsite = \"${each:route}\"\n",
        "46:11: `${each:route}`: stands in [each] site, with its own template",
    ),
    (
        "",
        "[[check.step]]\nmethod = \"FETCH\"\npath = \"/\"\n",
        "50:10: \"FETCH\" is not a method",
    ),
    (
        "",
        "[[check.step]]\npath = \"/\"\nheaders = { \"a b\" = \"x\" }\n",
        "51:13: \"a b\" is not a name of a header",
    ),
    (
        "",
        "[[check.step]]\npath = \"/\"\nexpect = [42]\n",
        "51:11: 42 is not an HTTP status",
    ),
    (
        "",
        "[[check.step]]\npath = \"healthz\"\n",
        "50:8: \"healthz\" is not a path",
    ),
    (
        "",
        "[[check.step]]\npath = \"/\"\ncapture = { id = \"data.id\" }\n",
        "51:18: \"data.id\" is neither a JSON pointer",
    ),
    (
        "",
        "[[check.step]]\npath = \"/\"\ncapture = { id = \"/a~2\" }\n",
        "51:18: \"/a~2\" is neither a JSON pointer",
    ),
    (
        "",
        "[[check.step]]\npath = \"/${step:id}\"\ncapture = { id = \"/id\" }\n",
        "50:12: `${step:id}` in path: no step before it captures it",
    ),
    (
        "",
        "[[check]]\nkind = \"http\"\ntitle = \"asks\"\nport = \"STORE_PORT\"\n[[check.step]]\npath = \"/\"\n",
        "48:8: \"STORE_PORT\" is not a port of this service",
    ),
    (
        "",
        "[[check]]\nkind = \"http\"\ntitle = \"asks\"\n[[check.step]]\npath = \"/\"\n",
        "47:9: the check \"asks\" has no `port`, and there is no [site]",
    ),
    (
        "",
        "[[check]]\nkind = \"http\"\ntitle = \"asks\"\nport = \"THING_PORT\"\nstep = []\n",
        "47:9: the check \"asks\" has no [[check.step]]",
    ),
    (
        "",
        "[[check]]\nkind = \"exec\"\ntitle = \"runs\"\ncommand = []\n",
        "47:9: the check \"runs\" has an empty command",
    ),
    (
        "",
        "[[check]]\nkind = \"exec\"\ntitle = \"runs\"\nwhen = { key = \"NOTHING\" }\ncommand = [\"x\"]\n",
        "48:16: \"NOTHING\" is not a key of the manifest",
    ),
];

#[test]
fn errors_in_view_of_others_are_reported_with_their_place() {
    let mut wrong = Vec::new();
    for (top, end, expected) in CASES {
        let before = if end.starts_with("[[site.route]]") {
            SITE
        } else if end.starts_with("[[check.step]]") {
            CHECK
        } else {
            ""
        };
        let said = said(top, &format!("{before}{end}"));
        if !said
            .iter()
            .any(|error| error.starts_with(&format!("thing.toml:{expected}")))
        {
            wrong.push(format!("{top}{end}: expected {expected}, got {said:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_sound_is_not_refused() {
    for (top, end) in [
        ("group = \"duo\"\npresets = [\"full\"]\n", SITE),
        (
            "requires = { key = \"TAILSCALE_AUTH_KEY\", why = \"x\" }\n",
            "",
        ),
        ("after = [\"store\"]\nuses_vector_db = true\n", ""),
        (
            "",
            "[[variant]]\nwhen = { key = \"VECTOR_DB\", is = \"vec\" }\nneeds = [\"vec\", \"store\"]\n\
             environment = { A = \"${VEC_PASSWORD} ${STORE_PORT} ${host:store}\" }\n\
             [[variant.database]]\nprovider = \"store\"\nname = \"x\"\npassword = \"THING_PASSWORD\"\n",
        ),
        (
            "",
            "[site]\nhost = \"thing\"\nport = 80\ncheck = \"/\"\n[[site.route]]\npath = \"/a/*\"\n\
             service = \"store\"\nport = 1\n[each]\nsite = \"${each:route}\"\nroute = \"${item.path}\"\n",
        ),
        (
            "",
            "[[check]]\nkind = \"http\"\ntitle = \"asks\"\nport = \"THING_PORT\"\n\
             [[check.step]]\nmethod = \"POST\"\npath = \"/\"\ncapture = { id = \"/a~1b/0\" }\n\
             [[check.step]]\nmethod = \"DELETE\"\npath = \"/${step:id}\"\nalways = true\n",
        ),
    ] {
        assert_eq!(said(top, end), Vec::<String>::new(), "{top}{end}");
    }
}

#[test]
fn services_that_exclude_each_other_may_share_keys() {
    let one = |name: &str, is: &str| {
        let top = format!(
            "when = {{ key = \"VECTOR_DB\", is = {is:?} }}\nvector_db = {{ port = 1, url = \"x\" }}\n"
        );
        other("thing", 42, &top).replace(":thing", &format!(":{name}"))
    };
    let (a, b) = (one("a", "a"), one("b", "b"));
    assert!(Catalog::load(&[("a", &a), ("b", &b)]).is_ok());
    let c = other("thing", 42, "").replace(":thing", ":c");
    let errors = Catalog::load(&[("a", &a), ("c", &c)]).unwrap_err();
    assert!(
        errors.iter().all(|error| error.file == "c.toml"),
        "{errors:?}"
    );
    assert!(
        errors[0].message.contains("declared by a already"),
        "{errors:?}"
    );
}

#[test]
fn a_second_file_of_a_name_is_the_error() {
    let again = other("thing", 43, "");
    let errors = Catalog::load(&[("thing", ENTRY), ("thing", &again)]).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "thing.toml:1:1: there is a service thing already; give this one another name"
    );
}

#[test]
fn names_of_files_have_at_most_three_folders_and_no_tricks() {
    for (name, sound) in [
        ("a.yaml", true),
        ("provisioning/datasources/prometheus.yaml", true),
        ("a/b/c/d.yaml", true),
        ("a/b/c/d/e.yaml", false),
        ("../a", false),
        ("a/../b", false),
        ("/a", false),
        ("a/", false),
        ("a//b", false),
        (".hidden/a", false),
        ("a b/c", false),
    ] {
        let text = ENTRY.replace("thing.conf", name);
        let result = Catalog::load(&[("thing", &text)]);
        assert_eq!(result.is_ok(), sound, "{name}: {result:?}");
        if let Err(errors) = result {
            let expected = format!("thing.toml:11:1: {name:?} is not a plain file name");
            assert!(errors[0].to_string().starts_with(&expected), "{errors:?}");
        }
    }
    let both = ENTRY.replace("[mounts]", "\"thing.conf/a\" = \"x\"\n\n[mounts]");
    let errors = Catalog::load(&[("thing", &both)]).unwrap_err();
    assert!(
        errors[0].message.contains("and the folder of"),
        "{errors:?}"
    );
}
