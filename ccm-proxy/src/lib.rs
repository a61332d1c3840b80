//! The edges of the speaker: namespaces, sockets, netlink and settings of the kernel. What is
//! decided is decided in `speaker-core`.

pub mod bfd_socket;
pub mod groups;
pub mod kernel;
pub mod netlink;
pub mod netns;
pub mod nft;
pub mod ovs;
pub mod packet;
pub mod place;
pub mod probe;
mod program;
mod registered;
pub mod speaker;
pub mod sysctl;
