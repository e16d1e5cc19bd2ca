//! Which method is which operation.

use std::future::Future;

use aistack_proto::v1;
use prost::Message;
use tonic::body::Body;
use tonic::server::Grpc;

use super::admission::Permission;
use super::codec::{Decoded, StrictCodec};
use super::method::Method;
use super::perform::CallContext;
use super::vet::{self, Vetted};
use super::{Front, status, whoami};
use crate::accept::Peer;
use crate::ops;

/// The largest request message, bytes.
const MAX_MESSAGE: usize = 64 << 10;

type HttpRequest = http::Request<Body>;
type HttpResponse = http::Response<Body>;

impl Front {
    /// Answers one HTTP/2 request.
    pub(super) async fn answer(self, request: HttpRequest) -> HttpResponse {
        let peer = request.extensions().get::<Peer>().copied();
        if let Some(Peer {
            over: Some(open),
            caller,
        }) = peer
        {
            return status::too_many_connections(open, caller.pid).into_http();
        }
        let caller = peer.map(|peer| peer.caller);
        let permission = match self.admit(caller, request.uri().path()).await {
            Ok(permission) => permission,
            Err(status) => return status.into_http(),
        };
        let answer = self.dispatch(permission, request);
        tokio::time::timeout(self.shared.times.answer, answer)
            .await
            .unwrap_or_else(|_| status::still_running().into_http())
    }

    async fn dispatch(&self, permission: Permission, request: HttpRequest) -> HttpResponse {
        match permission.method {
            Method::WhoAmI => {
                let vet = vet::nothing::<v1::WhoAmIRequest>;
                self.unary(permission, request, vet, whoami::answer).await
            }
            Method::CheckEngine => {
                let vet = vet::nothing::<v1::CheckEngineRequest>;
                let act = async |a: CallContext<()>| a.ops.check_engine(&a.permission.grant).await;
                self.unary(permission, request, vet, act).await
            }
            Method::MountVolume => {
                let vet = vet::nothing::<v1::MountVolumeRequest>;
                let act = async |a: CallContext<()>| a.ops.mount_volume(&a.permission.grant).await;
                self.unary(permission, request, vet, act).await
            }
            Method::UnmountVolume => {
                let vet = vet::nothing::<v1::UnmountVolumeRequest>;
                let act =
                    async |a: CallContext<()>| a.ops.unmount_volume(&a.permission.grant).await;
                self.unary(permission, request, vet, act).await
            }
            Method::GrowVolume => {
                let vet = vet::nothing::<v1::GrowVolumeRequest>;
                let act = async |a: CallContext<()>| a.ops.grow_volume(&a.permission.grant).await;
                self.unary(permission, request, vet, act).await
            }
            Method::PrepareDirectories => {
                let act = async |a: CallContext<Vec<_>>| {
                    ops::prepare_directories(&a.permission.grant, &a.value).await
                };
                self.unary(permission, request, vet::directories, act).await
            }
            Method::Chown => self.chown_stream(permission, request).await,
            Method::LoadAppArmor => {
                let vet = vet::nothing::<v1::LoadAppArmorRequest>;
                let act = async |a: CallContext<()>| {
                    let (answer, without) = a.ops.load_apparmor(&a.permission.grant).await?;
                    if let Some(why) = without {
                        a.note.write(why);
                    }
                    Ok(answer)
                };
                self.unary(permission, request, vet, act).await
            }
            Method::UnloadAppArmor => {
                let vet = vet::nothing::<v1::UnloadAppArmorRequest>;
                let act =
                    async |a: CallContext<()>| a.ops.unload_apparmor(&a.permission.grant).await;
                self.unary(permission, request, vet, act).await
            }
            Method::CreateNetwork => {
                let vet = vet::nothing::<v1::CreateNetworkRequest>;
                let act =
                    async |a: CallContext<()>| a.ops.create_network(&a.permission.grant).await;
                self.unary(permission, request, vet, act).await
            }
            Method::RemoveNetwork => {
                let vet = vet::nothing::<v1::RemoveNetworkRequest>;
                let act =
                    async |a: CallContext<()>| a.ops.remove_network(&a.permission.grant).await;
                self.unary(permission, request, vet, act).await
            }
        }
    }

    /// One message in, one out.
    async fn unary<Req, Res, V, Act>(
        &self,
        permission: Permission,
        request: HttpRequest,
        vet: fn(Req) -> Result<Vetted<V>, aistack_policy::Refusal>,
        act: impl Fn(CallContext<V>) -> Act + Copy + Send + 'static,
    ) -> HttpResponse
    where
        Req: Message + Default + 'static,
        Res: Message + 'static,
        V: Send + 'static,
        Act: Future<Output = Result<Res, ops::Error>> + Send + 'static,
    {
        let service = tower::service_fn(move |request: tonic::Request<Decoded<Req>>| {
            let (front, permission) = (self.clone(), permission.clone());
            async move {
                match request.into_inner().and_then(vet) {
                    Ok(vetted) => front
                        .perform(permission, vetted, act)
                        .await
                        .map(tonic::Response::new),
                    Err(refusal) => Err(front.refuse_message(&permission, refusal).await),
                }
            }
        });
        Grpc::new(StrictCodec::<Res, Req>::default())
            .max_decoding_message_size(MAX_MESSAGE)
            .unary(service, request)
            .await
    }

    async fn chown_stream(&self, permission: Permission, request: HttpRequest) -> HttpResponse {
        let service = tower::service_fn(move |request: tonic::Request<Decoded<_>>| {
            let (front, permission) = (self.clone(), permission.clone());
            async move {
                match request.into_inner().and_then(vet::directory) {
                    Ok(vetted) => front
                        .chown(permission, vetted)
                        .await
                        .map(tonic::Response::new),
                    Err(refusal) => Err(front.refuse_message(&permission, refusal).await),
                }
            }
        });
        Grpc::new(StrictCodec::<v1::ChownProgress, v1::ChownRequest>::default())
            .max_decoding_message_size(MAX_MESSAGE)
            .server_streaming(service, request)
            .await
    }
}
