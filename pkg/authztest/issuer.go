// Package authztest helps to test what is authorized: an Issuer that publishes
// keys and mints tokens, good ones and every kind of bad one.
//
// It is for tests and demonstrations. Its keys live in memory, and it gives a
// token to whoever calls Mint.
package authztest

import (
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// IssuerConfig says what an Issuer is like. The zero IssuerConfig is a good one
// for most tests.
type IssuerConfig struct {
	// Addr is the loopback address to listen on; "" means 127.0.0.1 and a free
	// port.
	Addr string
	// Path is the path of the issuer identifier: "" or one like "/realms/main".
	// A path that ends in "/" gives an identifier that ends in "/".
	Path string
	// Algorithms has one entry for each key: RS256, PS256, ES256, ES384, EdDSA,
	// …; the first is what Mint signs with. Empty means ES256. An RSA key is
	// generated when it is first needed, which takes a moment.
	Algorithms []string
	// Audience is the "aud" of a token, if its claims do not say another one.
	// "" means https://mcp.example.com/mcp.
	Audience string
	// Discovery are the forms of the metadata document that are served; empty
	// means RFC8414 alone.
	Discovery []DiscoveryForm
	Now       func() time.Time // nil means time.Now
}

// A DiscoveryForm is a place of the metadata document below the origin.
type DiscoveryForm byte

// The forms, for an issuer with the path /realms/main.
const (
	RFC8414      DiscoveryForm = iota // /.well-known/oauth-authorization-server/realms/main
	OpenIDInsert                      // /.well-known/openid-configuration/realms/main
	OpenIDAppend                      // /realms/main/.well-known/openid-configuration
)

// An Issuer is an OAuth authorization server without its authorization: it
// publishes a metadata document (RFC 8414) and a key set (RFC 7517) on a
// loopback address, and mints access tokens (RFC 9068). It is safe for
// concurrent use.
type Issuer struct {
	url           string
	audience      string
	algs          []string
	discovery     []string // paths
	keySet        string   // path
	introspection string   // path
	now           func() time.Time
	server        *http.Server
	closed        chan struct{}
	close         func()

	mu      sync.Mutex // guards what follows
	round   int
	keys    []*key
	forged  map[string]crypto.Signer // by algorithm
	fault   Fault
	raw     []byte
	fetches Fetches
	minted  int
	opaque  map[string][]byte // what is said of each opaque token
}

// Fetches counts what an Issuer was asked for.
type Fetches struct {
	Discovery int // metadata documents, those not found included
	Keys      int // key sets
	Asked     int // questions about opaque tokens
}

// NewIssuer starts an Issuer. The caller closes it.
func NewIssuer(c IssuerConfig) (*Issuer, error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.Audience == "" {
		c.Audience = "https://mcp.example.com/mcp"
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"ES256"}
	}
	if len(c.Discovery) == 0 {
		c.Discovery = []DiscoveryForm{RFC8414}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, alg := range c.Algorithms {
		if !knownAlgorithm(alg) {
			return nil, fmt.Errorf("algorithm %q is not known", alg)
		}
	}
	if u, err := url.Parse(c.Path); err != nil || u.Path != c.Path || c.Path != "" && c.Path[0] != '/' {
		return nil, fmt.Errorf("path %q is not a plain path", c.Path)
	}
	i := &Issuer{
		audience:      c.Audience,
		algs:          slices.Clone(c.Algorithms),
		discovery:     discoveryPaths(c.Path, c.Discovery),
		keySet:        strings.TrimSuffix(c.Path, "/") + "/keys",
		now:           c.Now,
		closed:        make(chan struct{}),
		introspection: strings.TrimSuffix(c.Path, "/") + "/introspect",
		forged:        map[string]crypto.Signer{},
	}
	i.close = sync.OnceFunc(func() { close(i.closed) })
	i.Rotate()
	if err := i.listen(c); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *Issuer) listen(c IssuerConfig) error {
	listener, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if addr, ok := listener.Addr().(*net.TCPAddr); !ok || !addr.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("address %q is not a loopback address", c.Addr), listener.Close())
	}
	i.url = "http://" + listener.Addr().String() + c.Path
	i.server = &http.Server{Handler: i, ReadHeaderTimeout: 10 * time.Second}
	go i.server.Serve(listener) //nolint:errcheck // it ends with Close
	return nil
}

func discoveryPaths(path string, forms []DiscoveryForm) []string {
	path = strings.TrimSuffix(path, "/")
	var paths []string
	for _, form := range forms {
		switch form {
		case RFC8414:
			paths = append(paths, "/.well-known/oauth-authorization-server"+path)
		case OpenIDInsert:
			paths = append(paths, "/.well-known/openid-configuration"+path)
		case OpenIDAppend:
			paths = append(paths, path+"/.well-known/openid-configuration")
		}
	}
	return paths
}

// URL is the issuer identifier, the "iss" of its tokens.
func (i *Issuer) URL() string { return i.url }

// JWKSURI is where the key set is.
func (i *Issuer) JWKSURI() string { return i.origin() + i.keySet }

func (i *Issuer) origin() string { return "http://" + strings.SplitN(i.url, "/", 4)[2] }

// Fetches tells how often the Issuer was asked so far.
func (i *Issuer) Fetches() Fetches {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// Close stops the Issuer. Requests that a fault keeps waiting end.
func (i *Issuer) Close() error {
	i.close()
	return i.server.Close()
}
