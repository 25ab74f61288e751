package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/authztest/stack"
)

// The two servers: demo is named by its route, open is found by its host.
const (
	demoResource = "https://mcp.example.com/mcp"
	openResource = "https://mcp.example.com/open/mcp"
)

// soon bounds the wait for something that is on its way.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// keep ends the test if a part does not start, and closes it with the test.
func keep[P interface{ Close() error }](t *testing.T, part P, err error) P {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := part.Close(); err != nil {
			t.Errorf("Close() = %v, want nil", err)
		}
	})
	return part
}

func newIssuer(t *testing.T, c authztest.IssuerConfig) *authztest.Issuer {
	t.Helper()
	if c.Audience == "" {
		c.Audience = demoResource
	}
	issuer, err := authztest.NewIssuer(c)
	return keep(t, issuer, err)
}

func newRecorder(t *testing.T) *stack.Recorder {
	t.Helper()
	r, err := stack.StartRecorder()
	return keep(t, r, err)
}

func newCollector(t *testing.T) *stack.Collector {
	t.Helper()
	c, err := stack.StartCollector()
	return keep(t, c, err)
}

func newUpstream(t *testing.T) *stack.Upstream {
	t.Helper()
	u, err := stack.StartUpstream()
	return keep(t, u, err)
}

// patience is how long Envoy waits for an answer: on a busy machine half a
// second is soon over, and that is only the point where it is tested.
const patience = "10s"

const patiencePath = stack.ExtAuthzPath + "/grpc_service/timeout"

func newEnvoy(t *testing.T, c stack.EnvoyConfig) *stack.Envoy {
	t.Helper()
	if c.Set == nil {
		c.Set = map[string]any{}
	}
	if _, told := c.Set[patiencePath]; !told {
		c.Set[patiencePath] = patience
	}
	e, err := stack.StartEnvoy(t.Context(), c)
	return keep(t, e, err)
}

// newCedargate runs the real binary, which must end with code 0.
func newCedargate(t *testing.T, c stack.CedargateConfig) *stack.Cedargate {
	t.Helper()
	return newCedargateEnding(t, c, 0)
}

// newCedargateEnding runs the real binary, which must end with code.
func newCedargateEnding(t *testing.T, c stack.CedargateConfig, code int) *stack.Cedargate {
	t.Helper()
	g, err := stack.StartCedargate(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if got, err := g.Close(); got != code {
			t.Errorf("Close() of cedargate = %d, %v, want %d", got, err, code)
		}
	})
	return g
}

// config is a configuration with both servers, and more appended.
func config(issuer *authztest.Issuer, more string) []byte {
	return fmt.Appendf(nil, `
issuers:
  - { name: corp, issuer: %q }
servers:
  - name: demo
    resource: %s
    issuers: [corp]
    tools:
      - name: query
        read_only: true
        input_schema: { type: object, properties: { sql: { type: string } }, required: [sql] }
  - name: open
    resource: %s
    issuers: [corp]
policies: { path: policies }
%s`, issuer.URL(), demoResource, openResource, more)
}

// policies is the directory of policies with one file.
func policies(text string) map[string][]byte {
	return map[string][]byte{"policies/main.cedar": []byte(text)}
}

// A bearer sends its token, and a name for the records, with every request.
type bearer struct{ token, agent string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b.token != "" {
		r.Header.Set("authorization", "Bearer "+b.token)
	}
	r.Header.Set("user-agent", b.agent)
	return http.DefaultTransport.RoundTrip(r)
}

// An answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// post sends a JSON-RPC message over a clean HTTP client.
func post(t *testing.T, url, token, agent, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(soon(t), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("content-type", "application/json")
	req.Header.Set("accept", "application/json, text/event-stream")
	return do(t, bearer{token, agent}, req)
}

func do(t *testing.T, b bearer, req *http.Request) answer {
	t.Helper()
	resp, err := b.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s = %v, want an answer", req.Method, req.URL, err)
	}
	return read(t, resp)
}

// byAgent tells which records, or access-log lines, a client has caused.
func byAgent(records []map[string]any, agent string) []map[string]any {
	var own []map[string]any
	for _, r := range records {
		if r["user_agent"] == agent {
			own = append(own, r)
		}
	}
	return own
}
