package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// keycloakTime bounds the start of Keycloak, which builds itself first: half a
// minute on a machine with nothing else to do.
const keycloakTime = 3 * time.Minute

// exitTerminated is the code of a program that SIGTERM has ended, as a shell
// gives it, and as Java does.
const exitTerminated = 128 + 15

// A Keycloak is a running Keycloak in development mode, with the realm master
// and whatever Create makes. It takes half a gigabyte of memory.
type Keycloak struct {
	process *process
	dir     string
	url     string
}

// StartKeycloak installs Keycloak, if need be, and runs it. It wants Maven, unzip
// and Java.
func StartKeycloak(ctx context.Context) (*Keycloak, error) {
	home, err := install(ctx, "pkg/authztest/stack/keycloak/install.sh")
	if err != nil {
		return nil, fmt.Errorf("installing Keycloak: %w", err)
	}
	dir, err := os.MkdirTemp("", "keycloak")
	if err != nil {
		return nil, fmt.Errorf("starting Keycloak: %w", err)
	}
	k := &Keycloak{dir: dir}
	// It writes into its own directory: what it built, and its database.
	err = os.CopyFS(dir, os.DirFS(home))
	if err == nil {
		err = k.startAnywhere(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting Keycloak: %w", err), os.RemoveAll(dir))
	}
	return k, nil
}

// startAnywhere takes another port if somebody was faster to bind the first.
func (k *Keycloak) startAnywhere(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, keycloakTime)
	defer cancel()
	for range 3 {
		if err = k.start(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (k *Keycloak) start(ctx context.Context) error {
	// The port is part of the issuer, and of what is redirected to.
	address, _, err := freeAddresses()
	if err != nil {
		return err
	}
	k.url = "http://" + address
	_, port, _ := strings.Cut(address, ":")
	cmd := exec.Command(filepath.Join(k.dir, "bin", "kc.sh"), "start-dev", "--http-host=127.0.0.1", "--http-port="+port)
	cmd.Env = append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=admin", "JAVA_OPTS_KC_HEAP=-Xmx512m")
	if k.process, err = start(cmd); err != nil {
		return err
	}
	err = k.process.ready(ctx, func() error { return answers(ctx, k.Issuer("master")+"/.well-known/openid-configuration") })
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %s", err, k.process.stdout.tail()), k.stop())
	}
	return nil
}

// Issuer is the issuer identifier of a realm.
func (k *Keycloak) Issuer(realm string) string { return k.url + "/realms/" + realm }

// Create posts a representation, which becomes JSON, to a path of the admin
// API, such as "/realms", as the administrator of all.
func (k *Keycloak) Create(ctx context.Context, path string, representation any) error {
	// An administrator's token lives one minute.
	login := url.Values{"grant_type": {"password"}, "client_id": {"admin-cli"}, "username": {"admin"}, "password": {"admin"}}
	tokens, err := k.Tokens(ctx, "master", login)
	if err != nil {
		return err
	}
	body, err := json.Marshal(representation)
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + tokens.Access}}
	_, err = k.post(ctx, k.url+"/admin"+path, header, body, http.StatusCreated)
	return err
}

// KeycloakTokens are what a token endpoint gives; what it does not is "".
type KeycloakTokens struct {
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
}

// Tokens asks the token endpoint of a realm.
func (k *Keycloak) Tokens(ctx context.Context, realm string, form url.Values) (KeycloakTokens, error) {
	var tokens KeycloakTokens
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	body, err := k.post(ctx, k.Issuer(realm)+"/protocol/openid-connect/token", header, []byte(form.Encode()), http.StatusOK)
	if err != nil {
		return tokens, err
	}
	return tokens, json.Unmarshal(body, &tokens)
}

// post returns the body of an answer that has to have a status.
func (k *Keycloak) post(ctx context.Context, target string, header http.Header, body []byte, want int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("%s answered %d: %s", target, resp.StatusCode, answer)
	}
	return answer, err
}

// Close stops it. An error says that it did not end well.
func (k *Keycloak) Close() error { return errors.Join(k.stop(), os.RemoveAll(k.dir)) }

// stop ends the process, which says that SIGTERM ended it.
func (k *Keycloak) stop() error {
	err := k.process.close()
	if !k.process.killed && k.process.exitCode() == exitTerminated {
		return nil
	}
	return err
}
