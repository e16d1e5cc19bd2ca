//! `aistack version`: the client's version and the helper's.

use serde_json::json;

use crate::CLIENT_VERSION;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::Context;

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let helper = helper_version(context).await;
    let shown = helper.as_deref().unwrap_or("does not answer");
    context
        .printer
        .document(json!({"client": CLIENT_VERSION, "helper": helper}))?;
    context
        .printer
        .data(&format!("aistack {CLIENT_VERSION}\nhelper  {shown}\n"))?;
    Ok(Exit::Done)
}

async fn helper_version(context: &Context) -> Option<String> {
    let helper = context.helper().await.ok()?;
    let who = helper.who_am_i().await.ok()?;
    Some(who.helper_version)
}
