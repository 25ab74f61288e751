package stack

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// OIDCProviderConfig says how oidc-provider is run.
type OIDCProviderConfig struct {
	// Resource is what tokens are for when a request names no resource; ""
	// makes such tokens opaque, which no resource server can verify by itself.
	Resource string
	// TokenTTL is how long access tokens live, in whole seconds; 0 means 300.
	TokenTTL time.Duration
	// Behind is by how much its clock is slow, in whole seconds. A resource
	// server that forgives half a minute sees tokens end early.
	Behind time.Duration
	// Opaque makes all access tokens opaque: their worth is asked at
	// IntrospectionURL, by the client "gate" with the secret "gate & secret".
	Opaque bool
	// GateKey is the public key of the client "gate-key", a JWK for ES256; nil:
	// there is no such client.
	GateKey []byte
}

// An OIDCProvider is a running oidc-provider, an OAuth server with dynamic
// registration, PKCE and resource indicators: see oidc/op.mjs. It knows the
// clients "pub", which is public, and "svc" with the secret "svc-secret", which
// gets tokens for itself. Whoever signs in is believed: see Browser.
type OIDCProvider struct {
	process *process
	url     string
}

// HaveNode tells whether there is a Node, of whatever version, and the npm that
// StartOIDCProvider wants.
func HaveNode() bool {
	for _, program := range []string{cmp.Or(os.Getenv("CEDARGATE_NODE"), "node"), "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
	}
	return true
}

// StartOIDCProvider installs oidc-provider, if need be, and runs it. It wants
// npm.
func StartOIDCProvider(ctx context.Context, c OIDCProviderConfig) (*OIDCProvider, error) {
	node, dir, err := installOIDCProvider(ctx)
	if err != nil {
		return nil, fmt.Errorf("installing oidc-provider: %w", err)
	}
	cmd := exec.Command(node, "op.mjs")
	cmd.Dir = dir
	// Written out, so that nothing comes from the environment of a test.
	cmd.Env = append(os.Environ(),
		"DEFAULT_RESOURCE="+c.Resource, "ACCESS_TOKEN_TTL="+seconds(c.TokenTTL), "BEHIND="+seconds(c.Behind), "GATE_KEY="+string(c.GateKey))
	if c.Opaque {
		cmd.Env = append(cmd.Env, "OPAQUE=1")
	}
	p := &OIDCProvider{}
	if p.process, err = start(cmd); err != nil {
		return nil, fmt.Errorf("starting oidc-provider: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := p.process.ready(ctx, p.findURL); err != nil {
		return nil, errors.Join(fmt.Errorf("starting oidc-provider: %w", err), p.process.close())
	}
	return p, nil
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// installOIDCProvider returns a Node and the directory with op.mjs.
func installOIDCProvider(ctx context.Context) (node, dir string, err error) {
	out, err := install(ctx, "pkg/authztest/stack/oidc/install.sh")
	if err != nil {
		return "", "", err
	}
	node, dir, ok := strings.Cut(out, "\n")
	if !ok {
		return "", "", fmt.Errorf("install.sh says %q, want two lines", out)
	}
	return node, dir, nil
}

// install runs a script of the checkout and returns what it says.
func install(ctx context.Context, script string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, filepath.FromSlash(script)))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", script, err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

// findURL looks for the line that says that it answers: warnings come before.
func (p *OIDCProvider) findURL() error {
	all, _ := p.process.stdout.since(0)
	for _, line := range all {
		if url, ok := strings.CutPrefix(line, "READY "); ok {
			p.url = url
			return nil
		}
	}
	return errors.New("it has not said READY yet")
}

// URL is the issuer identifier.
func (p *OIDCProvider) URL() string { return p.url }

// IntrospectionURL is where clients ask about opaque tokens (RFC 7662).
func (p *OIDCProvider) IntrospectionURL() string { return p.url + "/token/introspection" }

// Rotate makes it sign with new keys from now on, and returns the id of the one
// that signs access tokens. The old ones stay published; clients and sessions
// stay known.
func (p *OIDCProvider) Rotate(ctx context.Context) (kid string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/test/rotate", nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("rotating the keys of oidc-provider: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("rotating the keys of oidc-provider: status %d: %s", resp.StatusCode, body)
	}
	return string(body), err
}

// Close stops it. An error says that it did not end well.
func (p *OIDCProvider) Close() error { return p.process.close() }
