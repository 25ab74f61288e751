// Package jwks keeps the public keys of one issuer: discovered, fetched,
// refreshed, and asked for again at most as often as the cool-down allows.
package jwks
