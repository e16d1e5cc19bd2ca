//! Any text gets an answer from the manifest's parser: every error stands inside the text, what
//! is accepted is written back letter by letter, and a value that is set is the value that is read.
#![no_main]

use std::collections::BTreeMap;

use aistack::env_file::{EnvError, EnvFile, Settings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| match EnvFile::parse(text) {
    Err(errors) => look_at_errors(text, &errors),
    Ok(file) => {
        let written = file.render();
        assert_eq!(written.trim_end_matches('\n'), text.trim_end_matches('\n'));
        assert!(EnvFile::parse(&written).expect("what was written is read") == file);
        let environment = BTreeMap::from([("A".to_owned(), "a".to_owned())]);
        if let Err(errors) = Settings::resolve(&file, &environment, |key| key == "A") {
            look_at_errors(text, &errors);
        }
        look_at_setting(file, text);
    }
});

fn look_at_errors(text: &str, errors: &[EnvError]) {
    let lines: Vec<&str> = text.split('\n').collect();
    assert!(!errors.is_empty());
    for error in errors {
        let line = lines[error.line - 1];
        assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}");
    }
}

/// The text itself, as a value.
fn look_at_setting(mut file: EnvFile, value: &str) {
    let keys: Vec<String> = file.keys().map(str::to_owned).collect();
    assert!(file.set("NEW_KEY", value, Some(value)));
    let read = EnvFile::parse(&file.render()).expect("what was written is read");
    assert_eq!(read.get("NEW_KEY"), Some(value));
    for key in keys.iter().filter(|key| *key != "NEW_KEY") {
        assert_eq!(read.get(key), file.get(key));
    }
    if let Some(key) = keys.first() {
        assert!(file.set(key, value, None));
        let read = EnvFile::parse(&file.render()).expect("what was written is read");
        assert_eq!(read.get(key), Some(value));
    }
}
