//! Single values of the file: text in, closed type or one sentence out.

mod address;
mod amount;
mod cidr;
mod name;
mod template;
mod uid;

pub(crate) use address::{Block, subnet};
pub(crate) use amount::{MIB, bytes, cpu_millis};
pub(crate) use cidr::{cidr, name_server};
pub(crate) use name::{
    capability, directory, domain, image_pattern, network_name, powerful, tenant_name,
};
pub(crate) use template::{Relation, Template};
pub(crate) use uid::{MAX_UID, UidRange, reserved_in};
