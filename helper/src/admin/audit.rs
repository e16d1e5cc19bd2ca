//! `aistack-helper audit show|verify|follow`.
