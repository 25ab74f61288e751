// Package corpus runs decisions that are written down, one in each file, with
// a sentence that says why. A case is asked at three levels: of an engine in
// process, over gRPC, and through a real Envoy; all must give the one answer
// that the file expects.
//
// It is public so that users can keep a corpus of their own beside their
// policies.
package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The levels at which a case is asked.
const (
	Engine = "engine" // authz.Engine.Check in process
	GRPC   = "grpc"   // the gRPC service, in both shapes of a CheckRequest
	Envoy  = "envoy"  // HTTP through a real Envoy
)

// A Case is one decision.
type Case struct {
	Name string `yaml:"-"` // the file, without its ending
	// Why is the sentence that says why the answer is the right one. Required.
	Why string `yaml:"why"`
	// At is the time of the decision. Absent: Monday 2026-11-23 at 10:00 UTC.
	At time.Time `yaml:"at"`
	// Server is the protected server of the world whose host and path the
	// request uses. Absent: "github".
	Server string `yaml:"server"`
	// Credential says which credential the request carries: one of the names in
	// Credentials. Absent: "token", a good one.
	Credential string `yaml:"credential"`
	// Issuer mints the token. Absent: "corp".
	Issuer string `yaml:"issuer"`
	// Token holds claims over the usual ones: aud of the server, sub "alice",
	// iat and exp around At. A null claim is left out.
	Token map[string]any `yaml:"token"`
	// Authorization replaces the credential: header lines as they stand, in
	// which ${token} is the token.
	Authorization []string `yaml:"authorization"`
	// Proof is the DPoP proof beside the credential: one of the names in Proofs.
	// Absent: there is none.
	Proof   string  `yaml:"proof"`
	Request Request `yaml:"request"`
	// Fault breaks a part for this case: one of the names in Faults.
	Fault  string `yaml:"fault"`
	Expect Expect `yaml:"expect"`
	// LeavesOut says, for each level that this case leaves out, why.
	LeavesOut map[string]string `yaml:"leaves_out"`
}

// A Request is what the client sends.
type Request struct {
	Method string `yaml:"method"` // absent: POST
	Host   string `yaml:"host"`   // absent: that of the server
	Path   string `yaml:"path"`   // absent: that of the server
	// Header holds lines "Name: value" over the usual ones of the method; a
	// line "-Name" removes a usual one.
	Header []string `yaml:"header"`
	// Message is the body, written as YAML; Body is the body as it stands; Pad
	// makes a large one.
	Message yaml.Node `yaml:"message"`
	Body    string    `yaml:"body"`
	Pad     *Pad      `yaml:"pad"`
	// Extension is the context extension cedargate.server.
	Extension *string `yaml:"extension"`
	// Route is that of a proxy that is not set up as envoy/envoy.yaml says: one
	// of Unbuffered and Partial.
	Route string `yaml:"route"`
	// Source is the address of the proxy's peer. Absent: 127.0.0.1, which is
	// that of a real Envoy under test.
	Source string `yaml:"source"`
	// Size, TwoBodies and TwoHeaders are what only a proxy can say.
	Size       *int64 `yaml:"size"`
	TwoBodies  bool   `yaml:"two_bodies"`
	TwoHeaders bool   `yaml:"two_headers"`
}

// A Pad is a body of Before, Times times Unit, and After.
type Pad struct {
	Before, Unit, After string
	Times               int
}

// Expect is the one right answer. Fields that are absent are not compared,
// except Status, Reason, Event, Layer, which every case names.
type Expect struct {
	Status int    `yaml:"status"`
	Reason string `yaml:"reason"`
	Event  string `yaml:"event"`
	Layer  string `yaml:"layer"`
	Detail string `yaml:"detail"`
	// Code is that of the JSON-RPC error.
	Code int `yaml:"code"`
	// ID is the echoed id as it stands in the body; "none" expects none.
	ID string `yaml:"id"`
	// Message is that of the JSON-RPC error.
	Message string `yaml:"message"`
	// Data holds members of its error.data.
	Data map[string]any `yaml:"data"`
	// Header holds headers of the answer; "" expects that there is none, "*"
	// takes any one value.
	Header map[string]string `yaml:"header"`
	// Upstream holds headers that the server behind the proxy gets, likewise.
	Upstream map[string]string `yaml:"upstream"`
	// Body holds members of the metadata document.
	Body map[string]any `yaml:"body"`
	// Action and Resource are those of the first question, Questions their
	// number.
	Action    string `yaml:"action"`
	Resource  string `yaml:"resource"`
	Questions int    `yaml:"questions"`
	// Policies and Errors are those of the question that decided.
	Policies []string `yaml:"policies"`
	Errors   []string `yaml:"errors"`
	// Absent are the claims that the record says are absent, Scopes those of the
	// token, Asked the principals of the questions where they are others.
	Absent []string `yaml:"absent_claims"`
	Scopes []string `yaml:"scopes"`
	Asked  []string `yaml:"asked"`
	// Principal, Argument, Presented are those of the record.
	Principal string `yaml:"principal"`
	Argument  string `yaml:"argument"`
	Presented string `yaml:"presented"`
}

// usualTime is when a case is asked that does not say: on a Monday by day. It
// is not changed.
var usualTime = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// Open reads the cases in decisions and makes the World in world, both below
// fsys. The caller closes the World.
func Open(fsys fs.FS) ([]Case, *World, error) {
	cases, err := Load(fsys, "decisions")
	if err != nil {
		return nil, nil, err
	}
	world, err := NewWorld(fsys, "world")
	return cases, world, err
}

// Load reads every case below dir of fsys, in the order of names. Unknown
// fields are errors: a misspelt expectation would expect nothing.
func Load(fsys fs.FS, dir string) ([]Case, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("reading corpus: %w", err)
	}
	var cases []Case
	for _, e := range entries {
		if e.IsDir() || path.Ext(e.Name()) != ".yaml" {
			continue
		}
		text, err := fs.ReadFile(fsys, path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading corpus: %w", err)
		}
		c, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		c.Name = strings.TrimSuffix(e.Name(), ".yaml")
		cases = append(cases, c)
	}
	return cases, nil
}

func parse(text []byte) (Case, error) {
	c := Case{
		At:         usualTime,
		Server:     "github",
		Credential: "token",
		Issuer:     "corp",
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, err
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return c, errors.New("more than one document")
	}
	return c, c.check()
}

// check refuses a case that would not say what it means.
func (c Case) check() error {
	switch e := c.Expect; {
	case c.Why == "":
		return errors.New("why is missing")
	case e.Status == 0 || e.Reason == "" || e.Event == "" || e.Layer == "":
		return errors.New("expect wants status, reason, event and layer")
	case c.Fault != "" && Faults[c.Fault] == "":
		return fmt.Errorf("no fault %q", c.Fault)
	}
	switch r := c.Request; r.Route {
	case "", Unbuffered, Partial:
		if r.Route != "" && r.Extension != nil {
			return errors.New("a request has a route or an extension")
		}
	default:
		return fmt.Errorf("no route %q", r.Route)
	}
	for level, why := range c.LeavesOut {
		if why == "" || level != Engine && level != GRPC && level != Envoy {
			return fmt.Errorf("leaves_out: level %q, why %q", level, why)
		}
	}
	return nil
}

// body is what the client sends.
func (r Request) body() ([]byte, error) {
	switch {
	case r.Pad != nil:
		return []byte(r.Pad.Before + strings.Repeat(r.Pad.Unit, r.Pad.Times) + r.Pad.After), nil
	case r.Message.Kind == 0:
		return []byte(r.Body), nil
	}
	var v any
	if err := r.Message.Decode(&v); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	return b, nil
}
