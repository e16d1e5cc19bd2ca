//! Databases that a service needs in another one, as commands that can be repeated.

use super::{DesiredError, Inputs, Provision};
use crate::catalog::{Database, Entry};

/// One step for each database of the entry and of its variants that hold.
pub(super) fn provisions(
    inputs: &Inputs<'_>,
    entry: &Entry,
) -> Result<Vec<Provision>, DesiredError> {
    let mut provisions = Vec::new();
    let of_variants = inputs
        .variants(entry)
        .flat_map(|variant| &variant.databases);
    for database in entry.databases.iter().chain(of_variants) {
        let password = inputs.setting(&database.password)?;
        provisions.push(Provision {
            provider: database.provider.clone(),
            title: format!("database {}", database.name),
            command: psql(),
            stdin: database_sql(database, password),
            remember: remember_sql(&database.name),
        });
    }
    Ok(provisions)
}

/// The superuser's shell in a postgres container: over loopback, where the image asks its own superuser for no password.
pub(crate) fn psql() -> Vec<String> {
    let words = "psql -X -q -h 127.0.0.1 -U postgres -d postgres -v ON_ERROR_STOP=1";
    words.split(' ').map(str::to_owned).collect()
}

/// Makes role and database where they are missing and sets the password. Neither the server's log
/// nor an error message gets to see the statement with the password.
fn database_sql(database: &Database, password: &str) -> String {
    use std::fmt::Write as _;

    let name = &database.name;
    let literal = sql_literal(password);
    let mut sql = format!(
        "\\set VERBOSITY terse\n\
         SET log_min_error_statement = panic;\n\
         SET log_statement = 'none';\n\
         SELECT 'CREATE ROLE \"{name}\" LOGIN' WHERE NOT EXISTS \
         (SELECT FROM pg_roles WHERE rolname = '{name}') \\gexec\n\
         ALTER ROLE \"{name}\" WITH LOGIN PASSWORD {literal};\n\
         SELECT 'CREATE DATABASE \"{name}\" OWNER \"{name}\"' WHERE NOT EXISTS \
         (SELECT FROM pg_database WHERE datname = '{name}') \\gexec\n"
    );
    if !database.extensions.is_empty() {
        let _ = writeln!(
            sql,
            "\\connect \"{name}\"\nSET client_min_messages = warning;"
        );
    }
    for extension in &database.extensions {
        let _ = writeln!(sql, "CREATE EXTENSION IF NOT EXISTS \"{extension}\";");
    }
    sql
}

/// Prints the statements that give a role its present password again. They hold the password as the
/// server keeps it, which it takes as it is (PostgreSQL, "CREATE ROLE": a string that is encrypted
/// already). A role that is not there yet prints nothing.
fn remember_sql(name: &str) -> String {
    format!(
        "\\set VERBOSITY terse\n\\pset format unaligned\n\\pset tuples_only on\n\
         SET client_min_messages = error;\n\
         SELECT 'SET log_min_error_statement = panic;' || E'\\n' || \
         'SET log_statement = ''none'';' || E'\\n' || \
         format('ALTER ROLE %I WITH PASSWORD %L;', rolname, rolpassword) \
         FROM pg_authid WHERE rolname = '{name}';\n"
    )
}

/// A string constant of SQL for any text, whatever `standard_conforming_strings` says.
fn sql_literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}
