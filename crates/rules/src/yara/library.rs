//! The rules that every box has, and the stack's own: compiled together when the box starts.
//!
//! The data is scanned in blocks while it streams, so a rule that asks for a file's size or for bytes at an offset, or
//! that imports a module, could never match. Such a rule is refused rather than being silent for ever.

use std::collections::BTreeMap;

use drawbridge_protocol::{
    checks::{CheckId, Effect},
    details::Detail,
    orders::{MAX_RULES, RulesFile},
};
use yara_x::{Compiler, MetaValue, SourceCode};
use yara_x_parser::{
    Parser,
    cst::{CSTStream, Event, SyntaxKind},
};

/// The most rules, where a stack has some of its own. Each may have a finding in each artifact.
const MAX_OWN: usize = 1_000;

/// Why the stack's rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("the stack's rules do not compile; correct them and deploy create again:\n{0}")]
    Compile(String),
    #[error(
        "{file}, line {line}: '{what}' is not known while data streams, so the rule would never match; rules may use \
         text, hex and regex patterns only"
    )]
    Unknown { file: String, line: usize, what: String },
    #[error("rule '{rule}' is global and would decide over all others; make it an ordinary one")]
    Global { rule: String },
    #[error("rule '{rule}' is a shipped rule's name; give it another")]
    Taken { rule: String },
    #[error("rule '{rule}' has effect = {effect}; expected \"off\", \"flag\" or \"reject\"")]
    Effect { rule: String, effect: String },
    #[error("the stack's rules have {0} bytes, more than the {MAX_RULES} that a box takes")]
    TooLarge(usize),
    #[error("there are {0} rules, more than the {MAX_OWN} that a box takes; join those that belong together")]
    TooMany(usize),
    #[error("{0}")]
    Compiler(String),
    #[error("compiled rules cannot be written or read: {0}; the compiler must be the box's own program")]
    Compiled(String),
}

/// The rules that every box has: file name and text.
pub fn shipped() -> [(&'static str, &'static str); 5] {
    [
        ("eicar.yar", include_str!("../../yara/eicar.yar")),
        ("ransomware.yar", include_str!("../../yara/ransomware.yar")),
        ("webshell.yar", include_str!("../../yara/webshell.yar")),
        ("cryptominer.yar", include_str!("../../yara/cryptominer.yar")),
        ("persistence.yar", include_str!("../../yara/persistence.yar")),
    ]
}

/// Compiled rules; one for all artifacts of a box.
pub(crate) struct Library {
    /// With few literals, which are searched for many bytes at a time; a stack's own rules do not slow them down.
    pub(super) shipped: yara_x::Rules,
    pub(super) own: Option<yara_x::Rules>,
    /// What follows a match, by the rule's name, where the stack does not say.
    effects: BTreeMap<String, Effect>,
}

impl Library {
    pub(crate) fn new(own: &[RulesFile]) -> Result<Self, RulesError> {
        let bytes = own.iter().map(|file| file.text.len()).sum();
        if bytes > MAX_RULES {
            return Err(RulesError::TooLarge(bytes));
        }
        let shipped = compile(shipped().into_iter().map(|(name, text)| (name.to_owned(), text)))?;
        let theirs = own.iter().map(|file| (format!("rules/{}", file.name), file.text.as_str()));
        let own = if own.is_empty() { None } else { Some(compile(theirs)?) };
        Self::of(shipped, own)
    }

    fn of(shipped: yara_x::Rules, own: Option<yara_x::Rules>) -> Result<Self, RulesError> {
        let mut effects = BTreeMap::new();
        for rule in shipped.iter().chain(own.iter().flat_map(yara_x::Rules::iter)) {
            let (name, effect) = effect(&rule)?;
            if effects.insert(name.clone(), effect).is_some() {
                return Err(RulesError::Taken { rule: name });
            }
        }
        if own.is_some() && effects.len() > MAX_OWN {
            return Err(RulesError::TooMany(effects.len()));
        }
        Ok(Self { shipped, own, effects })
    }

    /// The rules with the machine code that they became: the length of the shipped ones, those, the stack's.
    pub(crate) fn write(&self) -> Result<Vec<u8>, RulesError> {
        let bytes = |rules: &yara_x::Rules| rules.serialize().map_err(|why| unreadable(&why));
        let shipped = bytes(&self.shipped)?;
        let own = self.own.as_ref().map(bytes).transpose()?.unwrap_or_default();
        Ok([&(shipped.len() as u64).to_be_bytes()[..], &shipped, &own].concat())
    }

    /// Reads what [`Library::write`] wrote on the same machine.
    pub(crate) fn read(compiled: &[u8]) -> Result<Self, RulesError> {
        let split = compiled.split_first_chunk().and_then(|(length, rest)| {
            rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)
        });
        let (shipped, own) = split.ok_or_else(|| unreadable(&"they are cut off"))?;
        let rules = |bytes: &[u8]| yara_x::Rules::deserialize(bytes).map_err(|why| unreadable(&why));
        Self::of(rules(shipped)?, if own.is_empty() { None } else { Some(rules(own)?) })
    }

    /// What follows a match of `rule`, where the stack does not say.
    pub(super) fn effect(&self, rule: &str) -> Effect {
        self.effects.get(rule).copied().unwrap_or(Effect::Flag)
    }
}

fn compile<'a>(files: impl Iterator<Item = (String, &'a str)>) -> Result<yara_x::Rules, RulesError> {
    let mut compiler = Compiler::new();
    compiler.error_on_slow_pattern(true).error_on_slow_loop(true).enable_includes(false);
    for (name, text) in files {
        only_what_a_stream_has(&name, text)?;
        let source = SourceCode::from(text).with_origin(name);
        compiler.add_source(source).map_err(|error| RulesError::Compile(error.to_string()))?;
    }
    Ok(compiler.build())
}

fn unreadable(why: &impl ToString) -> RulesError {
    RulesError::Compiled(why.to_string())
}

fn effect(rule: &yara_x::Rule<'_, '_>) -> Result<(String, Effect), RulesError> {
    let name = rule.identifier().to_owned();
    if rule.is_global() {
        return Err(RulesError::Global { rule: name });
    }
    let wrong = |effect: String| RulesError::Effect { rule: name.clone(), effect };
    // A finding could not be named otherwise.
    Detail::new(CheckId::Yara, &name).map_err(|error| RulesError::Compile(error.to_string()))?;
    let effect = match rule.metadata().find(|(key, _)| *key == "effect") {
        None => Effect::Flag,
        Some((_, MetaValue::String(text))) => text.parse().map_err(|_| wrong(format!("\"{text}\"")))?,
        Some((_, other)) => return Err(wrong(format!("{other:?}"))),
    };
    Ok((name, effect))
}

/// Refuses what has no value while blocks are scanned.
fn only_what_a_stream_has(file: &str, text: &str) -> Result<(), RulesError> {
    for event in CSTStream::from(Parser::new(text.as_bytes())) {
        let Event::Token { kind, span } = event else { continue };
        let word = text.get(span.range()).unwrap_or_default();
        let unknown = match kind {
            SyntaxKind::FILESIZE_KW | SyntaxKind::ENTRYPOINT_KW | SyntaxKind::IMPORT_KW => true,
            SyntaxKind::IDENT => reads_bytes(word),
            _ => false,
        };
        if unknown {
            let line = 1 + text.get(..span.start()).unwrap_or_default().matches('\n').count();
            return Err(RulesError::Unknown { file: file.to_owned(), line, what: word.to_owned() });
        }
    }
    Ok(())
}

/// `uint16`, `int32be` and their like.
fn reads_bytes(word: &str) -> bool {
    let word = word.strip_suffix("be").unwrap_or(word);
    let word = word.strip_prefix('u').unwrap_or(word);
    matches!(word, "int8" | "int16" | "int32" | "int64" | "float32" | "float64")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn own(text: &str) -> Result<Library, RulesError> {
        Library::new(&[RulesFile { name: "own.yar".to_owned(), text: text.to_owned() }])
    }

    fn complaint(text: &str) -> String {
        own(text).err().unwrap().to_string()
    }

    #[test]
    fn each_shipped_rule_says_what_it_is_for() {
        let library = Library::new(&[]).unwrap();
        assert!(library.shipped.iter().len() >= 10);
        for rule in library.shipped.iter() {
            let described = rule.metadata().any(|(key, value)| {
                key == "description" && matches!(value, MetaValue::String(text) if text.len() > 20)
            });
            assert!(described, "{}", rule.identifier());
        }
        assert_eq!(library.effect("eicar_test_file"), Effect::Reject);
        assert_eq!(library.effect("ransom_note"), Effect::Flag);
    }

    #[test]
    fn a_stack_s_rule_is_taken_with_the_effect_that_it_names() {
        let rule = r#"rule ours { meta: effect = "reject" strings: $a = "drawbridge" condition: $a }"#;
        assert_eq!(own(rule).unwrap().effect("ours"), Effect::Reject);
        let rule = r#"rule ours { strings: $a = "drawbridge" condition: $a at 0 }"#;
        assert_eq!(own(rule).unwrap().effect("ours"), Effect::Flag);
    }

    #[test]
    fn what_could_never_match_in_a_stream_is_refused_with_its_line() {
        for (condition, what) in [
            ("filesize < 10 and $a", "filesize"),
            ("uint16(0) == 0x5a4d and $a", "uint16"),
            ("int32be(4) == 1 and $a", "int32be"),
        ] {
            let said =
                complaint(&format!("\nrule x {{ strings: $a = \"filesize\"\n condition: {condition} }}"));
            assert!(said.contains(&format!("rules/own.yar, line 3: '{what}'")), "{said}");
        }
        let said = complaint("import \"pe\"\nrule x { condition: pe.is_pe }");
        assert!(said.contains("line 1: 'import'"), "{said}");
        let fine = r#"rule x { strings: $a = "filesize uint16(0)" /* filesize */ condition: $a }"#;
        assert!(own(fine).is_ok());
    }

    #[test]
    fn what_would_break_the_shipped_rules_or_the_box_is_refused() {
        assert!(complaint("rule x { condition: nonsense }").contains("rules/own.yar"));
        assert!(complaint("global rule x { strings: $a = \"abcd\" condition: $a }").contains("global"));
        assert!(
            complaint("rule x { meta: effect = \"stop\" strings: $a = \"abcd\" condition: $a }")
                .contains("stop")
        );
        assert!(
            complaint("rule eicar_test_file { strings: $a = \"abcd\" condition: $a }")
                .contains("eicar_test_file")
        );
        assert!(complaint("include \"/etc/passwd\"").contains("include"));
        let large = format!("rule x {{ strings: $a = \"abcd\" condition: $a }} // {}", "x".repeat(MAX_RULES));
        assert!(complaint(&large).contains("more than"));
    }
}
