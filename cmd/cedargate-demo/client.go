package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/cedargate/cedargate/pkg/authztest"
)

// Protocol versions: the last one with sessions, and the one without.
const (
	withSessions    = "2025-11-25"
	withoutSessions = "2026-07-28"
)

// patience bounds every wait for something that is on its way.
const patience = 10 * time.Second

// A client is an MCP client of one server, with its token.
type client struct {
	name     string
	endpoint string
	claims   map[string]any    // of the token; nil without one
	login    auth.OAuthHandler // for a client that signs in; nil for others
	wire     *wire
	session  *mcp.ClientSession // nil until connect
}

// newClient makes a client of the server at endpoint; claims nil gives it no
// token.
func (w *world) newClient(name, endpoint string, claims map[string]any, options ...authztest.MintOption) *client {
	c := &client{name: name, endpoint: endpoint, claims: claims, wire: &wire{}}
	if claims != nil {
		all := map[string]any{"sub": name, "exp": time.Now().Add(12 * time.Hour).Unix()}
		maps.Copy(all, claims)
		c.claims, c.wire.token = all, w.issuer.Mint(all, options...)
	}
	return c
}

// connect opens the session.
func (c *client) connect(ctx context.Context, version string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sdk := mcp.NewClient(&mcp.Implementation{Name: "demo", Version: "1"}, nil)
	session, err := sdk.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: c.endpoint, HTTPClient: &http.Client{Transport: c.wire}, OAuthHandler: c.login, MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err == nil {
		c.session = session
	}
	return err
}

// close ends the session.
func (c *client) close() error {
	if c.session == nil {
		return nil
	}
	return c.session.Close()
}

// post sends one message as it is written.
func (c *client) post(ctx context.Context, body string, headers map[string]string) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("accept", "application/json, text/event-stream")
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	return c.wire.send(req)
}

// newest is a tools/call under 2026-07-28, which needs no session: the message
// and the headers that say the same.
func newest(tool, arguments string) (body string, headers map[string]string) {
	body = fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q,"arguments":%s,"_meta":{`+
		`"io.modelcontextprotocol/protocolVersion":%q,`+
		`"io.modelcontextprotocol/clientInfo":{"name":"demo","version":"1"},`+
		`"io.modelcontextprotocol/clientCapabilities":{}}}}`, tool, arguments, withoutSessions)
	return body, map[string]string{"mcp-protocol-version": withoutSessions, "mcp-method": "tools/call", "mcp-name": tool}
}

// A wire carries a client's requests: it adds the token and the trace that the
// records are found by, and keeps the last answer to a POST.
type wire struct {
	token string

	mu    sync.Mutex
	trace string // id, 32 hex digits
	last  reply
}

// A reply is what came back over HTTP.
type reply struct {
	status int
	header http.Header
	body   []byte // of refusals, and of what is no stream
}

// begin makes the requests to come belong to a new trace and returns its id.
func (w *wire) begin() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := make([]byte, 16)
	rand.Read(id) // never fails
	w.trace, w.last = hex.EncodeToString(id), reply{}
	return w.trace
}

// reply is the last answer to a POST since begin.
func (w *wire) reply() reply {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	w.mu.Lock()
	// W3C Trace Context: Envoy continues the trace that the client began.
	req.Header.Set("traceparent", "00-"+w.trace+"-"+w.trace[:16]+"-01")
	w.mu.Unlock()
	if w.token != "" {
		req.Header.Set("authorization", "Bearer "+w.token)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil || req.Method == http.MethodDelete {
		return resp, err
	}
	got := reply{status: resp.StatusCode, header: resp.Header}
	if !strings.HasPrefix(resp.Header.Get("content-type"), "text/event-stream") {
		if got.body, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(got.body))
	}
	if req.Method == http.MethodPost {
		w.mu.Lock()
		w.last = got
		w.mu.Unlock()
	}
	return resp, nil
}

// send sends one request and returns the answer, streams included.
func (w *wire) send(req *http.Request) (reply, error) {
	ctx, cancel := context.WithTimeout(req.Context(), patience)
	defer cancel()
	resp, err := w.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, body}, err
}

// A refusal is the JSON-RPC error of an answer.
type refusal struct {
	Error struct {
		Code    int
		Message string
		Data    struct {
			DecisionID string `json:"decisionId"`
			Reason     string
		}
	}
}

// refusal reads the body as one; the zero refusal if it is none.
func (r reply) refusal() refusal {
	var f refusal
	if json.Unmarshal(r.body, &f) != nil {
		return refusal{}
	}
	return f
}
