package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// A Dex is a running dex, an OpenID provider that is not made for MCP: it knows
// no resource indicators (RFC 8707), no dynamic registration and no scopes but
// those of OpenID Connect; the audience of an access token is the client, and
// the token looks like an ID token.
//
// It knows the client "cli" with the secret "cli-secret", which may be
// redirected to DexRedirect, and the user alice@example.com with the password
// "password", who is in no group.
type Dex struct {
	process *process
	dir     string
	url     string
}

// DexRedirect is where dex sends the browser of a user who has signed in.
// Nothing listens there: see Browser.
const DexRedirect = "http://127.0.0.1:4999/cb"

// StartDex builds dex, if need be, and runs it. To build it takes a C compiler
// and about two minutes.
func StartDex(ctx context.Context) (*Dex, error) {
	binary, err := install(ctx, "tools/dex/install.sh")
	if err != nil {
		return nil, fmt.Errorf("installing dex: %w", err)
	}
	dir, err := os.MkdirTemp("", "dex")
	if err != nil {
		return nil, fmt.Errorf("starting dex: %w", err)
	}
	d := &Dex{dir: dir}
	// The port is part of the issuer, so it is chosen before dex can bind it:
	// another process may take it first.
	for range 3 {
		if err = d.start(ctx, binary); err == nil {
			return d, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("starting dex: %w", err), os.RemoveAll(dir))
}

// dexConfig takes the addresses of the issuer, twice, and of telemetry, and
// where it redirects to.
const dexConfig = `
issuer: http://%s/dex
web: { http: %s }
telemetry: { http: %s }
storage: { type: memory }
oauth2: { skipApprovalScreen: true }
enablePasswordDB: true
staticPasswords:
  - { email: alice@example.com, username: alice, userID: u1, hash: "$2a$10$2b2cU8CPhOTaGrs1HRQuAueS7JTT5ZHsHSzYiFPm1leZck7Mc8T4W" }
staticClients:
  - { id: cli, secret: cli-secret, name: cli, redirectURIs: [%q] }
`

func (d *Dex) start(ctx context.Context, binary string) error {
	web, telemetry, err := freeAddresses()
	if err != nil {
		return err
	}
	d.url = "http://" + web + "/dex"
	file := filepath.Join(d.dir, "dex.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, dexConfig, web, web, telemetry, DexRedirect), 0o600); err != nil {
		return err
	}
	if d.process, err = start(exec.Command(binary, "serve", file)); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	err = d.process.ready(ctx, func() error { return answers(ctx, d.url+"/.well-known/openid-configuration") })
	if err != nil {
		return errors.Join(err, d.process.close())
	}
	return nil
}

// freeAddresses are two on loopback that nobody had a moment ago.
func freeAddresses() (one, other string, err error) {
	a, err := net.Listen("tcp", loopback)
	if err != nil {
		return "", "", err
	}
	defer a.Close()
	b, err := net.Listen("tcp", loopback)
	if err != nil {
		return "", "", err
	}
	defer b.Close()
	return a.Addr().String(), b.Addr().String(), nil
}

// answers returns nil if url answers 200.
func answers(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d", url, resp.StatusCode)
	}
	return nil
}

// URL is the issuer identifier.
func (d *Dex) URL() string { return d.url }

// Close stops it. An error says that it did not end well.
func (d *Dex) Close() error { return errors.Join(d.process.close(), os.RemoveAll(d.dir)) }
