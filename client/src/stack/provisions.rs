//! What a service needs inside another one: made before it starts, and taken back with it.

use std::collections::BTreeMap;

use crate::desired::{DesiredService, Provision};
use crate::engine::{Engine, ExecOutput};
use crate::stack::diagnose::ServiceError;

/// What brings back what was there before a provision, as standard input of its command. May hold
/// secrets, so it has no `Debug`.
pub struct Undo {
    provision: Provision,
    stdin: String,
}

/// Makes provisions in the containers of their providers.
pub struct Provisioner<'a> {
    /// Connection to the gateway.
    pub engine: &'a Engine,
    /// Every service by name.
    pub services: &'a BTreeMap<String, DesiredService>,
}

impl Provisioner<'_> {
    /// Makes one. The provider is healthy by now, whatever its container's id is. Afterwards `undo`
    /// holds the way back, also where only a part was made.
    ///
    /// # Errors
    /// Why it could not be made.
    pub async fn make(
        &self,
        provision: &Provision,
        undo: &mut Vec<Undo>,
    ) -> Result<(), ServiceError> {
        if !provision.remember.is_empty() {
            let before = self.run(provision, &provision.remember).await?;
            undo.push(Undo {
                provision: provision.clone(),
                stdin: before.text,
            });
        }
        self.run(provision, &provision.stdin).await.map(drop)
    }

    /// Brings back what was there before, the last first.
    ///
    /// # Errors
    /// The first that could not be brought back; the others are tried all the same.
    pub async fn take_back(&self, undo: Vec<Undo>) -> Result<(), ServiceError> {
        let mut result = Ok(());
        for undo in undo.into_iter().rev() {
            if undo.stdin.trim().is_empty() {
                // There was nothing: what is new harms nobody.
                continue;
            }
            let done = self.run(&undo.provision, &undo.stdin).await;
            result = result.and(done.map(drop));
        }
        result
    }

    async fn run(&self, provision: &Provision, stdin: &str) -> Result<ExecOutput, ServiceError> {
        let title = format!("{} in {}", provision.title, provision.provider);
        let Some(provider) = self.services.get(&provision.provider) else {
            let why = "there is no such service".to_owned();
            return Err(ServiceError::Provision { title, why });
        };
        let output = self
            .engine
            .exec(&provider.container, &provision.command, stdin)
            .await
            .map_err(|error| ServiceError::Engine {
                step: "run a command in its provider",
                error,
            })?;
        if output.code == 0 {
            return Ok(output);
        }
        let why = output.why(stdin);
        Err(ServiceError::Provision { title, why })
    }
}
