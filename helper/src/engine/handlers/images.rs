//! Images: pull, and look at those that the caller may use.

use aistack_policy::{Grant, Refusal, Rule};
use http::Method;
use serde_json::{Value, json};

use super::{Reply, ok};
use crate::docker::percent_encoded;
use crate::engine::error::GatewayError;
use crate::engine::gateway::{Gateway, Tenant};
use crate::engine::own::{self, text};
use crate::engine::pulled::Pulling;
use crate::engine::vet::image::{ImageRef, Version};
use crate::engine::vet::target::{Filters, ImageReference, ImagesWithin};
use crate::engine::views::{self, AsOf, Created, Usable};

impl Gateway {
    pub(super) async fn pull(
        &self,
        tenant: &Tenant,
        image: &ImageRef,
        has_credentials: bool,
    ) -> Result<Reply, GatewayError> {
        let grant = &tenant.grant;
        let rule = &grant.rules.images;
        if !views::is_allowed(image, grant) {
            let message = format!("the image {image} is not allowed by policy");
            return Err(Refusal::new("IMAGE_REFUSED", message, rule.clone()).into());
        }
        if has_credentials {
            let message = "registry credentials are not supported; images are pulled anonymously";
            let rule = Rule::builtin("no-registry-credentials");
            let refusal = Refusal::new("REGISTRY_AUTH_REFUSED", message, rule);
            return Err(refusal
                .with_hint("run `docker logout` for this registry")
                .into());
        }
        self.admit_writes().await?;
        let (Version::Tag(version) | Version::Digest(version)) = &image.version;
        let path = format!(
            "/images/create?fromImage={}&tag={}",
            percent_encoded(&image.repository),
            percent_encoded(version)
        );
        let intent = tenant.intent("image.pull", json!({"image": image.to_string()}), rule);
        let answer = self
            .recorded(intent, self.stream_of(Method::POST, &path))
            .await?;
        let pulling = Pulling::new(self.pulled.clone(), grant.uid, image.clone());
        Ok(Reply::Pull(answer, pulling))
    }

    /// An id is looked for among the images that the caller may see, never by Docker.
    pub(super) async fn inspect_image_by_id(
        &self,
        grant: &Grant,
        start: &str,
    ) -> Result<Value, GatewayError> {
        let absent = || GatewayError::NotFound(format!("No such image: {start}"));
        let list = self.usable_images(grant, "/images/json").await?;
        let ids = list.as_array().into_iter().flatten();
        let mut ids = ids.map(|image| text(image, "/Id"));
        let starts = |id: &str| id.trim_start_matches("sha256:").starts_with(start);
        let id = ids.find(|id| starts(id)).ok_or_else(absent)?;
        if ids.any(starts) {
            return Err(absent());
        }
        let inspected = self.get(&format!("/images/{id}/json")).await?;
        let own = self.own_images(grant).await?;
        let usable = Usable { grant, own: &own };
        usable.inspected(&inspected).ok_or_else(absent)
    }

    /// The images that the caller may use, of those that it asks for.
    pub(super) async fn list_images(
        &self,
        grant: &Grant,
        as_of: AsOf,
        manifests: bool,
        within: &ImagesWithin,
        filters: &Filters,
    ) -> Result<Reply, GatewayError> {
        let created = Created {
            before: self.created(grant, within.before.as_ref()).await?,
            since: self.created(grant, within.since.as_ref()).await?,
            until: within
                .until
                .map(|moment| moment.from(jiff::Timestamp::now().as_second())),
        };
        let manifests = if manifests { "&manifests=true" } else { "" };
        let path = format!("/images/json?filters={}{manifests}", filters.encoded());
        let images = created.of(self.usable_images(grant, &path).await?);
        Ok(ok(as_of.images(images)))
    }

    /// When an image of the caller's was made, Unix time.
    async fn created(
        &self,
        grant: &Grant,
        image: Option<&ImageReference>,
    ) -> Result<Option<i64>, GatewayError> {
        let Some(image) = image else {
            return Ok(None);
        };
        let inspected = self.usable_image(grant, image).await?;
        let created = text(&inspected, "/Created").parse::<jiff::Timestamp>();
        // One that does not say has been there for ever.
        Ok(Some(created.map_or(0, jiff::Timestamp::as_second)))
    }

    /// The layers of an image that the caller may use, and what made them.
    pub(super) async fn image_history(
        &self,
        grant: &Grant,
        image: &ImageReference,
    ) -> Result<Reply, GatewayError> {
        let inspected = self.usable_image(grant, image).await?;
        let id = text(&inspected, "/Id");
        // With this id Docker is asked; it comes from Docker, and is put into a path.
        if own::full_id(id.trim_start_matches("sha256:")).is_none() {
            return Err(GatewayError::Answer);
        }
        let history = self.get(&format!("/images/{id}/history")).await?;
        let own = self.own_images(grant).await?;
        let usable = Usable { grant, own: &own };
        Ok(ok(usable.history(&history, id)))
    }

    async fn usable_image(
        &self,
        grant: &Grant,
        image: &ImageReference,
    ) -> Result<Value, GatewayError> {
        match image {
            ImageReference::Name(name) => Ok(self.local_image(grant, name).await?.inspected),
            ImageReference::Id(start) => self.inspect_image_by_id(grant, start).await,
        }
    }

    /// Of a list of Docker's, the images that the caller may use.
    pub(super) async fn usable_images(
        &self,
        grant: &Grant,
        path: &str,
    ) -> Result<Value, GatewayError> {
        let own = self.own_images(grant).await?;
        let usable = Usable { grant, own: &own };
        Ok(usable.images(self.get(path).await?))
    }
}
