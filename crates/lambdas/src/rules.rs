//! The stack's own YARA rules: files beside the functions' program, in `rules/` of create's zip. Whoever may deploy the
//! function may change them, and nobody else; the function's code digest covers them.

use std::{fs, path::Path};

use drawbridge_protocol::orders::{MAX_RULES, RulesFile};

/// Why the rules cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RulesFileError {
    #[error(
        "the rules in '{path}' cannot be read: {why}; package them as UTF-8 text in rules/*.yar of create's zip"
    )]
    Unreadable { path: String, why: String },
    #[error("the rules in '{path}' have {bytes} bytes, more than the {MAX_RULES} that a box's orders take")]
    TooLarge { path: String, bytes: usize },
}

/// The files `rules/*.yar` under `root`, by name. None where there is no such directory.
pub fn load(root: &Path) -> Result<Vec<RulesFile>, RulesFileError> {
    let directory = root.join("rules");
    let path = directory.display().to_string();
    let unreadable =
        |why: std::io::Error| RulesFileError::Unreadable { path: path.clone(), why: why.to_string() };
    if !directory.try_exists().map_err(unreadable)? {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(&directory).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "yar") {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push(RulesFile { name, text: fs::read_to_string(&file).map_err(unreadable)? });
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    let bytes = files.iter().map(|file| file.text.len()).sum();
    if bytes > MAX_RULES {
        return Err(RulesFileError::TooLarge { path, bytes });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_stack_s_rules_are_read_by_name_and_without_a_directory_there_are_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(load(root.path()).unwrap(), []);
        let rules = root.path().join("rules");
        fs::create_dir(&rules).unwrap();
        for (name, text) in [("b.yar", "rule b"), ("a.yar", "rule a"), ("README", "no rule")] {
            fs::write(rules.join(name), text).unwrap();
        }
        let read: Vec<_> =
            load(root.path()).unwrap().into_iter().map(|file| (file.name, file.text)).collect();
        assert_eq!(read, [("a.yar".into(), "rule a".into()), ("b.yar".into(), "rule b".to_owned())]);
    }

    #[test]
    fn rules_that_no_orders_could_carry_or_that_are_no_text_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let rules = root.path().join("rules");
        fs::create_dir(&rules).unwrap();
        fs::write(rules.join("a.yar"), "x".repeat(MAX_RULES + 1)).unwrap();
        assert!(load(root.path()).unwrap_err().to_string().contains("more than the"));
        fs::write(rules.join("a.yar"), b"\xff\xfe").unwrap();
        assert!(load(root.path()).unwrap_err().to_string().contains("UTF-8"));
    }
}
