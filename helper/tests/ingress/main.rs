//! The front door with a real HAProxy, in a network namespace of its own: who is reached by which hello, and
//! what nobody notices when tenants come and go.

mod changes;
mod hello;
mod routing;
mod test_host;
