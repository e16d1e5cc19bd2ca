//! The tenant's own service files: the same words as the embedded ones. [`crate::run::service_files`]
//! reads and writes them.

use std::path::Path;

use super::{Catalog, CatalogError};

/// One service file: the service's name and the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Name of the service, which is that of the file without `.toml`.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// A service file with errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidEntry {
    /// Name of the service.
    pub name: String,
    /// Each with its place, and the lines that show it.
    pub errors: Vec<(String, Vec<String>)>,
}

/// The first error, on one line.
impl std::fmt::Display for InvalidEntry {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first = self.errors.first().map(|(text, _)| text);
        out.write_str(first.unwrap_or(&self.name))?;
        match self.errors.len() {
            0 | 1 => Ok(()),
            count => write!(out, " (and {} more)", count - 1),
        }
    }
}

impl InvalidEntry {
    /// A file that cannot be read, and why.
    #[must_use]
    pub fn unreadable(path: &Path, problem: &str) -> Self {
        Self {
            name: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            errors: vec![(format!("{}: {problem}", path.display()), Vec::new())],
        }
    }
}

/// The embedded catalog with every own file that is sound, and the others. A file that needs one
/// which is not sound is not sound either.
#[must_use]
pub fn with_files(files: &[OwnFile]) -> (Catalog, Vec<InvalidEntry>) {
    let mut sound = files.to_vec();
    let mut invalid = Vec::new();
    loop {
        let errors = match Catalog::with_own(&sound) {
            Ok(catalog) => return (catalog, invalid),
            Err(errors) => errors,
        };
        let before = sound.len();
        sound.retain(|file| {
            let errors: Vec<_> = errors
                .iter()
                .filter(|error| error.file == format!("{}.toml", file.name))
                .map(|error| (error.to_string(), picture(error, &file.text)))
                .collect();
            if errors.is_empty() {
                return true;
            }
            invalid.push(InvalidEntry {
                name: file.name.clone(),
                errors,
            });
            false
        });
        // Errors in no own file: what is embedded is sound by itself.
        if sound.len() == before {
            return (Catalog::embedded(), invalid);
        }
    }
}

/// The line of an error with a mark below its column.
fn picture(error: &CatalogError, text: &str) -> Vec<String> {
    let Some(line) = text.lines().nth(error.line.saturating_sub(1)) else {
        return Vec::new();
    };
    let margin = " ".repeat(error.line.to_string().len());
    let before = " ".repeat(error.column.saturating_sub(1));
    // As wide as what a terminal shows, whatever the line holds.
    let line: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    vec![
        format!("  {} | {line}", error.line),
        format!("  {margin} | {before}^"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = include_str!("../../../tests/services/fake-model.toml");

    fn own(name: &str, text: &str) -> OwnFile {
        OwnFile {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn an_own_file_stands_beside_the_embedded_ones() {
        let (catalog, errors) = with_files(&[own("fake-model", SMALL)]);
        assert_eq!(errors, []);
        assert!(catalog.get("fake-model").unwrap().own);
        assert!(!catalog.get("redis").unwrap().own);
    }

    #[test]
    fn the_example_of_the_document_is_sound() {
        let document = include_str!("../../../docs/own-services.md");
        let example = document.split("```toml\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        let (catalog, errors) = with_files(&[own("wiki", example)]);
        assert_eq!(errors, []);
        assert!(catalog.get("wiki").is_some());
    }

    #[test]
    fn an_invalid_file_is_reported_with_its_place_and_the_others_stay() {
        let invalid = SMALL.replace("offset = 40", "offset = \"forty\"");
        let needing = SMALL
            .replacen("user = ", "needs = [\"invalid\"]\nuser = ", 1)
            .replace("FAKE_MODEL", "NEEDING")
            .replace("offset = 40", "offset = 41");
        let files = [
            own("invalid", &invalid),
            own("fake-model", SMALL),
            own("a-needing", &needing),
        ];
        let (catalog, errors) = with_files(&files);
        assert!(catalog.get("fake-model").is_some());
        assert!(catalog.get("invalid").is_none());
        let names: Vec<&str> = errors.iter().map(|invalid| invalid.name.as_str()).collect();
        assert_eq!(names, ["invalid", "a-needing"]);
        let line = SMALL
            .lines()
            .position(|line| line == "offset = 40")
            .unwrap()
            + 1;
        let (text, picture) = &errors[0].errors[0];
        assert!(
            text.starts_with(&format!("invalid.toml:{line}:10: ")),
            "{text}"
        );
        let mark = " ".repeat(2 + line.to_string().len());
        assert_eq!(picture[0], format!("  {line} | offset = \"forty\""));
        assert_eq!(picture[1], format!("{mark} | {}^", " ".repeat(9)));
    }

    #[test]
    fn an_own_file_cannot_take_the_place_of_an_embedded_one_nor_its_keys() {
        let (_, errors) = with_files(&[own("redis", SMALL)]);
        assert!(errors[0].to_string().contains("catalog"));
        let taken = SMALL.replace("FAKE_MODEL_PORT", "REDIS_PORT");
        let (_, errors) = with_files(&[own("fake-model", &taken)]);
        assert!(errors[0].to_string().contains("REDIS_PORT"));
    }

    #[test]
    fn two_own_files_may_need_each_other_in_any_order() {
        let needing = SMALL
            .replacen("user = ", "needs = [\"fake-model\"]\nuser = ", 1)
            .replace("FAKE_MODEL", "NEEDING")
            .replace("host = \"fake-model\"", "host = \"needing\"")
            .replace("offset = 40", "offset = 41");
        let (catalog, errors) = with_files(&[own("a-needing", &needing), own("fake-model", SMALL)]);
        assert_eq!(errors, []);
        assert!(catalog.get("a-needing").is_some());
    }
}
