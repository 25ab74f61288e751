// Package e2e holds the end-to-end tests: the real binary behind a real Envoy,
// asked by attackers and by real MCP clients. It has no code of its own.
package e2e
