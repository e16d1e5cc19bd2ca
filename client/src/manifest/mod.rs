//! What `init` writes: the manifest that a grant, an existing file and the user's wishes lead to.
