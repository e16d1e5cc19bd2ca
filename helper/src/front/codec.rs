//! A codec that takes a message only when it holds nothing else: prost silently ignores unknown
//! fields, repeated scalars and odd encodings. Here a message must be exactly what encoding its
//! parsed value gives again.

use std::marker::PhantomData;

use aistack_policy::{Refusal, Rule};
use bytes::{Buf, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes `Res`, decodes `Req` strictly.
#[derive(Debug)]
pub(super) struct StrictCodec<Res, Req>(PhantomData<(Res, Req)>);

/// A message, or why it is none. The refusal goes through admission like any other.
pub(super) type Decoded<Req> = Result<Req, Refusal>;

impl<Res, Req> Default for StrictCodec<Res, Req> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Res, Req> Codec for StrictCodec<Res, Req>
where
    Res: Message + 'static,
    Req: Message + Default + 'static,
{
    type Encode = Res;
    type Decode = Decoded<Req>;
    type Encoder = PlainEncoder<Res>;
    type Decoder = StrictDecoder<Req>;

    fn encoder(&mut self) -> Self::Encoder {
        PlainEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

#[derive(Debug)]
pub(super) struct PlainEncoder<Res>(PhantomData<Res>);

impl<Res: Message> Encoder for PlainEncoder<Res> {
    type Item = Res;
    type Error = Status;

    fn encode(&mut self, item: Res, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

#[derive(Debug)]
pub(super) struct StrictDecoder<Req>(PhantomData<Req>);

impl<Req: Message + Default> Decoder for StrictDecoder<Req> {
    type Item = Decoded<Req>;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Decoded<Req>>, Status> {
        let bytes = source.copy_to_bytes(source.remaining());
        Ok(Some(strictly(&bytes)))
    }
}

fn strictly<Req: Message + Default>(bytes: &Bytes) -> Decoded<Req> {
    let message = Req::decode(bytes.clone())
        .map_err(|_| refusal("BAD_MESSAGE", "the request is not a message of this method"))?;
    if message.encode_to_vec() != *bytes {
        return Err(refusal(
            "UNKNOWN_FIELDS",
            "the request has fields that this version does not know",
        ));
    }
    Ok(message)
}

fn refusal(reason: &'static str, message: &str) -> Refusal {
    Refusal::new(reason, message, Rule::builtin("closed-messages"))
        .with_hint("use an aistack client of the same version as aistack-helper")
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::{ChownRequest, MountVolumeRequest, ServiceDirectory};
    use proptest::prelude::*;

    use super::*;

    fn reason<Req: Message + Default>(bytes: &[u8]) -> Option<&'static str> {
        strictly::<Req>(&Bytes::copy_from_slice(bytes))
            .err()
            .map(|refusal| refusal.reason)
    }

    fn directory() -> ServiceDirectory {
        ServiceDirectory {
            service: "n8n".to_owned(),
            kind: 2,
            owner: 1,
        }
    }

    #[test]
    fn only_the_bytes_of_a_known_message_are_one() {
        let chown = ChownRequest {
            directory: Some(directory()),
        };
        let good = chown.encode_to_vec();
        assert_eq!(reason::<ChownRequest>(&good), None);
        assert_eq!(reason::<MountVolumeRequest>(b""), None);
        let with = |more: &[u8]| [&good, more].concat();
        let unknown = Some("UNKNOWN_FIELDS");
        // Field 99; a UID that nobody requested; the same field again; a default written out.
        assert_eq!(reason::<ChownRequest>(&with(&[0x98, 0x06, 1])), unknown);
        assert_eq!(reason::<MountVolumeRequest>(&[0x08, 0]), unknown);
        assert_eq!(reason::<MountVolumeRequest>(&[0x10, 0xe9, 0x07]), unknown);
        assert_eq!(reason::<ChownRequest>(&with(&good)), unknown);
        // An unknown field inside the inner message; an over-long number.
        assert_eq!(reason::<ChownRequest>(&[0x0a, 2, 0x20, 1]), unknown);
        assert_eq!(reason::<ChownRequest>(&[0x0a, 3, 0x10, 0x82, 0]), unknown);
        for bad in [&[0x0a][..], &[0x0a, 9, 1], &[0xff; 12], &[0x0a, 2, 0x0a, 9]] {
            assert_eq!(reason::<ChownRequest>(bad), Some("BAD_MESSAGE"), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_what_was_sent(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = Bytes::from(bytes);
            if let Ok(message) = strictly::<ChownRequest>(&bytes) {
                prop_assert_eq!(message.encode_to_vec(), bytes);
            }
        }
    }
}
