//! What is read, and what is refused because Go could read it in another way.

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "PascalCase")]
struct Sample {
    name: String,
    count: u32,
}

fn nested(depth: usize) -> Vec<u8> {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes()
}

#[test]
fn one_value_is_read_into_its_type() {
    let sample: Sample = strict(br#" {"Name":"a\u00e9","Count":7} "#).unwrap();
    assert_eq!((sample.name.as_str(), sample.count), ("aé", 7));
    assert_eq!(
        value(br#"{"a":[1,null,true]}"#).unwrap(),
        json!({"a": [1, null, true]})
    );
}

#[test]
fn what_go_could_read_differently_is_refused() {
    let bodies: [&[u8]; 22] = [
        b"",
        b" ",
        b"\xef\xbb\xbf{}",
        b"{} {}",
        b"{},",
        b"{}\0",
        b"{}x",
        br#"{"Name":"a","Name":"b"}"#,
        br#"{"Name":"a","name":"b"}"#,
        br#"{"Name":"a","NAME":null}"#,
        br#"{"Mas":1,"Ma\u017f":2}"#,
        "{\"Mask\":1,\"Mas\u{212a}\":2}".as_bytes(),
        "{\"Mask\":1,\"Ma\u{17f}k\":2}".as_bytes(),
        br#"{"x":{"y":{"a":1,"\u0061":2}}}"#,
        br#"[{"a":1,"A":2}]"#,
        br#"{"a":"\ud800"}"#,
        b"{\"a\":\"\xff\"}",
        br#"{"a":01}"#,
        br#"{"a":1e999}"#,
        b"{'a':1}",
        br#"{"a":1,}"#,
        b"{\"a\":1 /* comment */}",
    ];
    for body in bodies {
        let refusal = value(body).unwrap_err();
        assert_eq!(
            refusal.reason,
            "BAD_JSON",
            "{}",
            String::from_utf8_lossy(body)
        );
        assert_eq!(refusal.rule.key, "builtin.strict-json");
    }
}

#[test]
fn unknown_keys_and_other_cases_are_refused_by_name() {
    for (body, word) in [
        (r#"{"Nonsense":1}"#, "Nonsense"),
        (r#"{"name":"a"}"#, "name"),
        ("{\"Co\u{17f}unt\":1}", "unknown field"),
    ] {
        let refusal = strict::<Sample>(body.as_bytes()).unwrap_err();
        assert!(refusal.message.contains(word), "{refusal}");
    }
}

#[test]
fn messages_never_quote_a_value() {
    let refusal = strict::<Sample>(br#"{"Count":"hunter2"}"#).unwrap_err();
    assert!(!refusal.to_string().contains("hunter2"), "{refusal}");
}

#[test]
fn depth_and_size_have_bounds() {
    assert!(value(&nested(MAX_DEPTH)).is_ok());
    assert!(value(&nested(MAX_DEPTH + 1)).is_err());
    assert!(value(&nested(100_000)).is_err());
    let valid = format!("\"{}\"", "x".repeat(MAX_BODY - 2));
    assert!(value(valid.as_bytes()).is_ok());
    assert!(value(format!("{valid} ").as_bytes()).is_err());
}

#[test]
fn shown_text_is_short_and_printable() {
    assert_eq!(shown("a\u{1b}[31m\n"), "a\\u{1b}[31m\\n");
    assert!(shown(&"x".repeat(1000)).chars().count() <= 65);
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = value(&bytes);
        let _ = strict::<Sample>(&bytes);
    }

    #[test]
    fn any_json_alike_is_answered(text in r#"[\[\]{}:,"a-cA-C0-9ſK \\u]{0,64}"#) {
        let _ = value(text.as_bytes());
    }

    #[test]
    fn what_is_read_is_what_was_written(text in ".{0,32}", number in any::<i64>()) {
        let written = json!({"text": text, "list": [number, {"deep": null}]});
        prop_assert_eq!(value(written.to_string().as_bytes()).unwrap(), written);
    }
}
