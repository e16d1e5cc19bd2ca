//! One run of the command: its flags, its environment, and the two daemons it talks to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aistack_proto::v1::{Grant, WhoAmIResponse};

use crate::apparmor::Confinement;
use crate::args::Globals;
use crate::catalog::Catalog;
use crate::catalog::own::{self, InvalidEntry};
use crate::desired::{self, Locks, Stack};
use crate::engine::Engine;
use crate::env_file::{EnvFile, Settings};
use crate::error::CliError;
use crate::exit::Exit;
use crate::helper::Helper;
use crate::keys::SERVICES;
use crate::run::{Pace, service_files, store};
use crate::selection;
use crate::stack::apply::Tools;
use crate::ui::{Printer, Progress, invalid};

/// What every verb is given.
#[derive(Clone)]
pub struct Context {
    /// Flags of all verbs.
    pub globals: Globals,
    /// Where output goes.
    pub printer: Printer,
    /// The process environment; values that are not UTF-8 are left out.
    pub environment: BTreeMap<String, String>,
    /// How much time it has.
    pub pace: Pace,
    /// Whether the user says that secrets which data depends on may be other ones.
    pub force: bool,
}

/// The environment may hold secrets, so `Debug` leaves it out.
impl std::fmt::Debug for Context {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Context")
            .field("globals", &self.globals)
            .field("printer", &self.printer)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// The same run, with the verb's `--force`.
    #[must_use]
    pub fn forcing(&self, force: bool) -> Self {
        Self {
            force,
            ..self.clone()
        }
    }

    /// The same run without these keys in its environment.
    #[must_use]
    pub fn without(&self, is_key: impl Fn(&str) -> bool) -> Self {
        let mut context = self.clone();
        context.environment.retain(|key, _| !is_key(key));
        context
    }

    /// The engine gateway.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn engine(&self) -> Result<Engine, CliError> {
        let socket = self.engine_socket();
        Ok(Engine::connect_with(&socket, Some(Arc::new(self.printer)))?)
    }

    /// The helper.
    ///
    /// # Errors
    /// When it does not answer or is not root's.
    pub async fn helper(&self) -> Result<Helper, CliError> {
        let socket = self.helper_socket();
        Ok(Helper::connect_with(&socket, Some(Arc::new(self.printer))).await?)
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn engine_socket(&self) -> PathBuf {
        self.socket("AISTACK_ENGINE_SOCKET", aistack_proto::ENGINE_SOCKET)
    }

    /// Where the helper listens.
    #[must_use]
    pub fn helper_socket(&self) -> PathBuf {
        self.socket("AISTACK_HELPER_SOCKET", aistack_proto::HELPER_SOCKET)
    }

    /// True when a question is possible: people at both ends and no flag against it.
    #[must_use]
    pub fn interactive(&self) -> bool {
        use std::io::IsTerminal;
        !self.globals.no_input()
            && !self.globals.yes
            && !self.printer.json
            && std::io::stdin().is_terminal()
            && std::io::stderr().is_terminal()
    }

    fn socket(&self, variable: &str, default: &str) -> PathBuf {
        self.environment
            .get(variable)
            .filter(|path| !path.is_empty())
            .map_or_else(|| PathBuf::from(default), PathBuf::from)
    }
}

/// A caller whom the helper knows.
#[derive(Debug)]
pub struct Session {
    /// Connection to the helper.
    pub helper: Helper,
    /// Connection to the gateway.
    pub engine: Engine,
    /// The helper's answer.
    pub who: WhoAmIResponse,
    /// The grant in it.
    pub grant: Grant,
    /// Every service there is, the tenant's own included.
    pub catalog: Catalog,
    /// The tenant's own service files that have errors; those are not in the catalog.
    pub invalid: Vec<InvalidEntry>,
    /// Images that are locked.
    pub locks: Locks,
    /// Why they could not be read; no stack is made then.
    unread: Option<CliError>,
}

impl Session {
    /// Connects to both daemons and asks who is calling.
    ///
    /// # Errors
    /// When a daemon does not answer, or `--dir` or `BASE_DIR` is not what the policy grants.
    pub async fn open(context: &Context) -> Result<Self, CliError> {
        let helper = context.helper().await?;
        let engine = context.engine()?;
        let who = helper.who_am_i().await?;
        let grant = who.grant.clone().ok_or_else(|| {
            CliError::new(Exit::Failed, "the helper answered without a grant").next(
                "the client and the helper are incompatible: ask the administrator to upgrade them",
            )
        })?;
        // A disk that was torn out must keep nobody from unmounting it.
        let (locks, unread) = match store::read_locks(Path::new(&grant.base_dir)) {
            Ok(locks) => (locks, None),
            Err(failure) => (Locks::default(), Some(failure)),
        };
        let mut session = Self {
            helper,
            engine,
            who,
            grant,
            catalog: Catalog::embedded(),
            invalid: Vec::new(),
            locks,
            unread,
        };
        session.check_base_dir(context)?;
        session.load_own(context);
        Ok(session)
    }

    /// Reads the tenant's own service files. One with errors is reported and left out: it must keep
    /// nobody from seeing, stopping or removing what runs. A stack that has it is refused by
    /// [`Session::stack`].
    pub fn load_own(&mut self, context: &Context) {
        let (files, mut invalid) = service_files::all(self.base_dir(), self.grant.uid);
        let (catalog, more) = own::with_files(&files);
        invalid.extend(more);
        for invalid in &invalid {
            let text = format!("{invalid}; it is left out of the catalog");
            context.printer.warn(&crate::ui::clean(&text));
        }
        (self.catalog, self.invalid) = (catalog, invalid);
    }

    /// Whether the tenant's volume was mounted when the helper answered.
    #[must_use]
    pub fn volume_is_mounted(&self) -> bool {
        self.who.volume.is_some_and(|volume| volume.mounted)
    }

    /// The tenant's volume.
    #[must_use]
    pub fn base_dir(&self) -> &Path {
        Path::new(&self.grant.base_dir)
    }

    /// Whether the base directory that the caller names is the grant's. The `.env` cannot
    /// answer this: it lies in that directory.
    fn check_base_dir(&self, context: &Context) -> Result<(), CliError> {
        let flag = context.globals.dir.as_deref().and_then(Path::to_str);
        let named = flag.or_else(|| context.environment.get("BASE_DIR").map(String::as_str));
        match named.map(|path| path.trim_end_matches('/')) {
            None => Ok(()),
            Some(path) if path == self.grant.base_dir => Ok(()),
            Some(path) => Err(invalid::settings(vec![desired::DesiredError {
                key: "BASE_DIR".to_owned(),
                message: format!(
                    "{path} is not yours; the policy gives you {}",
                    self.grant.base_dir
                ),
                rule: Some(self.rule("base_dir")),
                excess: None,
            }])),
        }
    }

    /// The policy rule behind one part of the grant.
    #[must_use]
    pub fn rule(&self, part: &str) -> String {
        let rule = self.grant.rules.get(part).cloned();
        rule.unwrap_or_else(|| format!("tenants.{part}"))
    }

    /// The manifest on disk; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or has errors.
    pub fn manifest(&self) -> Result<Option<EnvFile>, CliError> {
        store::read_manifest(self.base_dir())
    }

    /// The stack that a manifest describes under the process environment.
    ///
    /// # Errors
    /// Errors in the values, and everything that the grant does not give.
    pub fn stack(&self, context: &Context, file: &EnvFile) -> Result<Stack, CliError> {
        if let Some(failure) = &self.unread {
            return Err(failure.clone());
        }
        let services = context.environment.get(SERVICES).map(String::as_str);
        let services = services.or_else(|| file.get(SERVICES)).unwrap_or_default();
        self.refuse_invalid(services)?;
        let stack = self.stack_of(&context.environment, file)?;
        context.pace.set(stack.time_scale);
        Ok(stack)
    }

    /// Refuses a choice of services that has one whose own file has errors.
    ///
    /// # Errors
    /// Every error in those, each with its line.
    pub fn refuse_invalid(&self, services: &str) -> Result<(), CliError> {
        let named = selection::named(services);
        let mut chosen = self.invalid.iter();
        if chosen.any(|invalid| named.contains(&invalid.name.as_str())) {
            return Err(CliError::service_files(&self.invalid));
        }
        Ok(())
    }

    /// A choice of services without those whose own files have errors.
    #[must_use]
    pub fn without_invalid(&self, services: &str) -> String {
        let invalid = |name: &&str| self.invalid.iter().any(|invalid| invalid.name == *name);
        let mut names = selection::named(services);
        names.retain(|name| !invalid(name));
        names.join(",")
    }

    fn stack_of(
        &self,
        environment: &BTreeMap<String, String>,
        file: &EnvFile,
    ) -> Result<Stack, CliError> {
        let known = |key: &str| self.catalog.is_key(key);
        let settings = Settings::resolve(file, environment, known)
            .map_err(|errors| CliError::manifest(&errors))?;
        let mut stack = desired::stack_of(&settings, &self.catalog, &self.grant, &self.locks)
            .map_err(invalid::settings)?;
        stack.overridden = settings.overridden(file);
        self.engine.hide(&stack.secrets);
        self.engine.slow_down(stack.time_scale);
        self.helper.slow_down(stack.time_scale);
        Ok(stack)
    }

    /// The stack of the manifest on disk, for what works with containers that exist: it is without
    /// services whose own files have errors.
    ///
    /// # Errors
    /// [`Exit::NotFound`] when there is no manifest; else as [`Session::stack`].
    pub fn stack_on_disk(&self, context: &Context) -> Result<Stack, CliError> {
        let file = self.manifest()?.ok_or_else(|| {
            if self.who.volume.is_some_and(|volume| volume.mounted) {
                CliError::new(Exit::NotFound, "there is no stack here yet").next("aistack init")
            } else {
                CliError::new(
                    Exit::NotFound,
                    "your volume is not mounted, so the stack cannot be read",
                )
                .next("aistack deploy, which mounts it")
            }
        })?;
        self.sound_stack(context, &file)
    }

    /// The stack that a manifest describes, without services whose own files have errors.
    ///
    /// # Errors
    /// As [`Session::stack`], but for those errors.
    pub fn sound_stack(&self, context: &Context, file: &EnvFile) -> Result<Stack, CliError> {
        let mut file = file.clone();
        let mut environment = context.environment.clone();
        if let Some(services) = file.get(SERVICES).map(|value| self.without_invalid(value)) {
            file.set(SERVICES, &services, None);
        }
        if let Some(services) = environment.get_mut(SERVICES) {
            *services = self.without_invalid(services);
        }
        let stack = self.stack_of(&environment, &file)?;
        context.pace.set(stack.time_scale);
        Ok(stack)
    }

    /// What a stack is applied with.
    #[must_use]
    pub fn tools<'a>(&'a self, context: &Context, progress: &'a Progress) -> Tools<'a> {
        Tools {
            helper: &self.helper,
            engine: &self.engine,
            locks: &self.locks,
            printer: context.printer,
            interactive: context.interactive(),
            progress,
        }
    }

    /// How containers are confined on this host.
    #[must_use]
    pub fn confinement(&self) -> Confinement {
        Confinement::of(&self.who)
    }
}
