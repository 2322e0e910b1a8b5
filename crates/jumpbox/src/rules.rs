//! The rules, compiled. A compiler leaves its code and its heap in the memory of whoever runs it, 14 MiB of a box's. So the
//! box runs its own program once more for it, and that process has ended before the first artifact comes.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
};

use drawbridge_protocol::{Orders, orders::RulesFile};
use drawbridge_rules::{Rules, RulesError};

/// The program's only argument where it is to compile.
pub const COMPILE: &str = "compile-rules";

/// Reads the stack's rules, and writes them and the shipped ones compiled.
pub fn compile(rules: impl Read, mut compiled: impl Write) -> io::Result<()> {
    let own: Vec<RulesFile> = serde_json::from_reader(rules)?;
    compiled.write_all(&drawbridge_rules::compile(&own).map_err(io::Error::other)?)?;
    compiled.flush()
}

/// The rules of `orders`, compiled by `program`, or why they cannot be used: the box tells whoever begins an artifact, since
/// one that ends before it reports leaves nobody who could say why.
pub(crate) async fn rules(
    orders: Orders,
    program: PathBuf,
) -> io::Result<(Result<Arc<Rules>, String>, Orders)> {
    let ready = move || {
        let baseline = orders.baseline.as_deref().cloned();
        let rules = Rules::with(orders.checks.clone(), baseline, || compiled(&orders.rules, &program));
        (rules.map(Arc::new).map_err(|error| error.to_string()), orders)
    };
    let (rules, orders) = tokio::task::spawn_blocking(ready).await.map_err(io::Error::other)?;
    if let Err(why) = &rules {
        tracing::error!(why, "no artifact can be taken");
    }
    Ok((rules, orders))
}

/// What `program` makes of the stack's rules.
fn compiled(own: &[RulesFile], program: &Path) -> Result<Vec<u8>, RulesError> {
    let failed = |why: &dyn std::fmt::Display| {
        RulesError::Compiler(format!("{} could not compile the rules: {why}", program.display()))
    };
    let mut child = Command::new(program)
        .arg(COMPILE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    let told = child.stdin.take().map(|input| serde_json::to_writer(input, own));
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    match (output.status.success(), complaint.trim(), told) {
        (true, _, Some(Ok(()))) => Ok(output.stdout),
        (false, "", _) => Err(failed(&output.status)),
        (false, complaint, _) => Err(RulesError::Compiler(complaint.to_owned())),
        (true, _, told) => Err(failed(&format_args!("it did not take them ({told:?})"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_program_that_compiles_nothing_is_named_with_what_it_said() {
        for (program, said) in [("/bin/false", "exit status: 1"), ("/nowhere/box", "No such file")] {
            let error = compiled(&[], Path::new(program)).unwrap_err().to_string();
            assert!(error.contains(program) && error.contains(said), "{error}");
        }
        // It says nothing and ends well, before it was asked or after.
        let silent = Rules::with("".parse().unwrap(), None, || compiled(&[], Path::new("/bin/true")));
        let error = silent.unwrap_err().to_string();
        assert!(error.contains("cut off") || error.contains("did not take them"), "{error}");
    }

    #[test]
    fn what_is_compiled_here_is_taken_there_and_what_is_wrong_is_said() {
        let mut bytes = Vec::new();
        compile(&b"[]"[..], &mut bytes).unwrap();
        assert!(Rules::with("".parse().unwrap(), None, || Ok(bytes)).is_ok());
        let broken = br#"[{"name": "house.yar", "text": "rule x { condition: nonsense }"}]"#;
        let error = compile(&broken[..], Vec::new()).unwrap_err().to_string();
        assert!(error.contains("rules/house.yar") && error.contains("nonsense"), "{error}");
    }
}
