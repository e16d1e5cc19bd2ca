//! References to images, as the client and the policy read them.

pub use aistack_policy::image::{ImageRef, Version};
