//! The engine itself and the caller's network: info, events, networks.

use std::collections::BTreeSet;
use std::sync::Arc;

use aistack_policy::Grant;
use http::Method;
use serde_json::json;

use super::{Reply, ok};
use crate::docker::OWNER_LABEL;
use crate::engine::error::GatewayError;
use crate::engine::gateway::{Gateway, Tenant};
use crate::engine::own::{self, text};
use crate::engine::vet::target::{DiskObject, Filters};
use crate::engine::views::{self, AsOf};

impl Gateway {
    pub(super) async fn info(&self, grant: &Grant) -> Result<Reply, GatewayError> {
        let containers = self.own_containers(grant).await?;
        Ok(ok(views::info(
            &self.get("/info").await?,
            &containers,
            grant,
            &self.disk_warnings().await,
        )))
    }

    /// What the caller's containers and images take, counted from its own lists: Docker's answer counts
    /// everybody's. Docker gets requests for what is wanted only: for sizes it walks through every container's
    /// layer, and of volumes and build caches there are none.
    pub(super) async fn disk_usage(
        &self,
        grant: &Grant,
        as_of: AsOf,
        of: &BTreeSet<DiskObject>,
        verbose: bool,
    ) -> Result<Reply, GatewayError> {
        let wants_containers = of.contains(&DiskObject::Container);
        let wants_images = of.contains(&DiskObject::Image);
        // An image says how many containers use it.
        let containers = if wants_containers || wants_images {
            let filters =
                Filters::default().encoded_with("label", &format!("{OWNER_LABEL}={}", grant.uid));
            let size = if wants_containers { "&size=true" } else { "" };
            let path = format!("/containers/json?all=true{size}&filters={filters}");
            views::containers(self.get(&path).await?, grant)
        } else {
            json!([])
        };
        let images = if wants_images {
            self.usable_images(grant, "/images/json").await?
        } else {
            json!([])
        };
        let usage = views::DiskUsage::count(containers, images);
        Ok(ok(usage.shown(as_of, of, verbose)))
    }

    pub(super) async fn events(
        &self,
        tenant: &Tenant,
        as_of: AsOf,
        [since, until]: [&str; 2],
        filters: &Filters,
    ) -> Result<Reply, GatewayError> {
        // Where the caller wants other types only, it gets nothing: no line of those passes.
        let types = filters.of("type");
        let filters = if types.is_empty() || types.iter().any(|kind| kind == "container") {
            filters.clone().only("type", "container")
        } else {
            filters.clone()
        };
        let filters = filters.encoded_with("label", &format!("{OWNER_LABEL}={}", tenant.grant.uid));
        let mut parts = vec![format!("filters={filters}")];
        for (key, time) in [("since", since), ("until", until)] {
            if !time.is_empty() {
                parts.push(format!("{key}={time}"));
            }
        }
        let path = format!("/events?{}", parts.join("&"));
        let answer = self.stream(Method::GET, &path).await?;
        Ok(Reply::Events(answer, Arc::clone(&tenant.grant), as_of))
    }

    pub(super) async fn inspect_network(
        &self,
        tenant: &Tenant,
        reference: &str,
    ) -> Result<Reply, GatewayError> {
        let absent = || GatewayError::NotFound(format!("network {reference} not found"));
        let own = self.own_network(&tenant.grant).await?.ok_or_else(absent)?;
        let id = own::full_id(text(&own, "/Id")).ok_or(GatewayError::Answer)?;
        let named = reference == text(&own, "/Name");
        if !named && (reference.len() < 12 || !id.starts_with(reference)) {
            return Err(absent());
        }
        Ok(ok(self.get(&format!("/networks/{id}")).await?))
    }
}
