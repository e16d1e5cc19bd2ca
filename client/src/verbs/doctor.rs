//! `aistack doctor`: what is wrong, what it means, what to do. Changes nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::doctor::{self, Finding, Level};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::Context;
use crate::ui::{Table, Tone, clean, seconds};

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let began = Instant::now();
    let findings = Box::pin(doctor::examine(context)).await;
    show(context, &findings, began.elapsed())?;
    let problems = findings.iter().any(|finding| finding.level == Level::Error);
    Ok(if problems { Exit::Config } else { Exit::Done })
}

fn show(context: &Context, findings: &[Finding], took: Duration) -> Result<(), CliError> {
    let printer = context.printer;
    let count = |level: Level| {
        let same = findings.iter().filter(|finding| finding.level == level);
        same.count()
    };
    let counts = [Level::Ok, Level::Warning, Level::Error, Level::Unchecked].map(count);
    let [ok, warnings, problems, unchecked] = counts;
    printer.document(json!({
        "ok": problems == 0,
        "checks": findings,
        "counts": {
            "ok": ok, "warning": warnings, "problem": problems, "unchecked": unchecked,
        },
        "seconds": took.as_secs_f64(),
    }))?;
    let mut table = Table::plain();
    for finding in findings {
        rows(&mut table, finding);
    }
    printer.table(&table)?;
    let (warnings, problems) = (several(warnings, "warning"), several(problems, "problem"));
    let mut sum = format!("{ok} ok, {warnings}, {problems}");
    if unchecked > 0 {
        sum = format!("{sum}, {unchecked} not looked at");
    }
    printer.data(&format!("\n{sum}, in {}\n", seconds(took)))?;
    Ok(())
}

fn several(count: usize, word: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {word}{plural}")
}

fn rows(table: &mut Table, finding: &Finding) {
    let tone = match finding.level {
        Level::Ok => Tone::Good,
        Level::Warning => Tone::Notice,
        Level::Error => Tone::Bad,
        Level::Unchecked => Tone::Faint,
    };
    table.row([
        (finding.level.word().to_owned(), Some(tone)),
        (finding.check.to_owned(), None),
        (clean(&finding.found), None),
    ]);
    let below = finding.means.iter().cloned();
    let next = finding.next.iter().map(|next| format!("next: {next}"));
    for line in below.chain(next) {
        table.row([
            (String::new(), None),
            (String::new(), None),
            (clean(&line), None),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::Paint;

    #[test]
    fn what_it_means_and_what_to_do_stand_below_the_finding() {
        let mut table = Table::plain();
        rows(&mut table, &Finding::ok("helper", "the helper answers"));
        let problem = Finding::problem("volume", "full\u{1b}[2J")
            .means("databases stop")
            .next("aistack volume grow");
        rows(&mut table, &problem);
        assert_eq!(
            table.render(Paint::new(false)),
            "ok       helper  the helper answers\n\
             PROBLEM  volume  full\n\
             \x20                databases stop\n\
             \x20                next: aistack volume grow\n"
        );
    }
}
