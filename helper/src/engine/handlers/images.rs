//! Images: pull, and look at those that the caller may use.

use aistack_policy::{Grant, Refusal, Rule};
use http::Method;
use serde_json::{Value, json};

use super::Reply;
use crate::docker::percent_encoded;
use crate::engine::error::GatewayError;
use crate::engine::gateway::{Gateway, Tenant};
use crate::engine::own::text;
use crate::engine::pulled::Pulling;
use crate::engine::vet::image::{ImageRef, Version};
use crate::engine::views::{self, Usable};

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
