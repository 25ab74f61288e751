package corpus_test

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/cedargate/cedargate/pkg/authztest/corpus"
)

// theCorpus is the project's own, and its world.
func theCorpus(tb testing.TB) ([]corpus.Case, *corpus.World) {
	tb.Helper()
	cases, world, err := corpus.Open(os.DirFS("../../../testdata"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { world.Close() })
	return cases, world
}

const expectation = "expect: { status: 200, reason: permitted, event: request, layer: authorization }\n"

func TestLoadIsStrict(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"no reason why", expectation, "why is missing"},
		{"expects nothing", "why: x\n", "expect wants status"},
		{"misspelt expectation", "why: x\nexpect: { status: 200, reason: permitted, event: request, layer: authorization, principle: x }\n", "principle"},
		{"misspelt field", "why: x\ncredentials: none\n" + expectation, "credentials"},
		{"written twice", "why: x\nwhy: y\n" + expectation, "already defined"},
		{"second document", "why: x\n" + expectation + "---\nwhy: y\n", "more than one document"},
		{"unknown level", "why: x\n" + expectation + "leaves_out: { proxy: slow }\n", `level "proxy"`},
		{"level left out without a word", "why: x\n" + expectation + "leaves_out: { envoy: \"\" }\n", `level "envoy"`},
		{"unknown fault", "why: x\nfault: flood\n" + expectation, `no fault "flood"`},
		{"unknown route", "why: x\nrequest: { route: back }\n" + expectation, `no route "back"`},
		{"two ways", "why: x\nrequest: { route: partial, extension: github }\n" + expectation, "a route or an extension"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cases, err := corpus.Load(fstest.MapFS{"d/a.yaml": {Data: []byte(tt.text)}}, "d")
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "a.yaml: ") {
				t.Errorf("Load(%q) = %v, %v, want an error of a.yaml with %q", tt.text, cases, err, tt.want)
			}
		})
	}
	cases, err := corpus.Load(fstest.MapFS{"d/a.yaml": {Data: []byte("why: x\n" + expectation)}, "d/README.md": {}}, "d")
	if err != nil || len(cases) != 1 || cases[0].Name != "a" || cases[0].Server != "github" {
		t.Errorf("Load() = %v, %v, want the one case a at github", cases, err)
	}
}

// A case that expects anything else than what comes fails: each expectation
// that the corpus has is changed, and Run must tell. Otherwise a green corpus
// would mean nothing.
func TestRunTellsEveryDifference(t *testing.T) {
	cases, world := theCorpus(t)
	changed := map[string]bool{}
	for _, c := range cases {
		if _, out := c.LeavesOut[corpus.Engine]; out || c.Fault == "stall" {
			continue
		}
		expect := reflect.TypeFor[corpus.Expect]()
		for i := range expect.NumField() {
			name := expect.Field(i).Name
			wrong := c
			if changed[name] || !change(reflect.ValueOf(&wrong.Expect).Elem().Field(i)) {
				continue
			}
			changed[name] = true
			diff, err := world.Run(t.Context(), wrong, world.InProcess)
			if err != nil || diff == "" {
				t.Errorf("Run(%s) with another %s = %q, %v, want a difference", c.Name, name, diff, err)
			}
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[corpus.Expect]()) {
		if !changed[field.Name] {
			t.Errorf("no case expects a %s", field.Name)
		}
	}
}

// change makes an expectation another one; false if there is none.
func change(v reflect.Value) bool {
	switch {
	case v.IsZero():
		return false
	case v.Kind() == reflect.String:
		v.SetString(v.String() + "x")
	case v.Kind() == reflect.Int:
		v.SetInt(v.Int() + 1)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.ValueOf([]string{"another"}))
	case v.Type() == reflect.TypeFor[map[string]string]():
		v.Set(reflect.ValueOf(map[string]string{"x-nobody-sends": "this"}))
	default:
		v.Set(reflect.ValueOf(map[string]any{"nobody": "has this"}))
	}
	return true
}

// A request that should be refused and is allowed is told, whatever else fits.
func TestRunTellsAnAllow(t *testing.T) {
	cases, world := theCorpus(t)
	i := slices.IndexFunc(cases, func(c corpus.Case) bool { return c.Name == "allow-ping" })
	if i < 0 {
		t.Fatal("no case allow-ping")
	}
	wrong := cases[i]
	wrong.Expect.Status, wrong.Expect.Reason = 403, "no_permit"
	diff, err := world.Run(t.Context(), wrong, world.InProcess)
	if err != nil || !strings.Contains(diff, "allowed") {
		t.Errorf("Run(%s) that expects a denial = %q, %v, want a difference in allowed", wrong.Name, diff, err)
	}
}

func TestCoverage(t *testing.T) {
	c := corpus.Case{Credential: "token", Expect: corpus.Expect{Status: 200, Reason: "permitted", Action: "ping"}}
	out := c
	out.Expect.Action, out.LeavesOut = "tools/list", map[string]string{corpus.Envoy: "why not"}
	got := corpus.Coverage([]corpus.Case{c, out}, corpus.Envoy)
	for key, want := range map[string]bool{
		"allow ping": true, "deny ping": false, "status 200": true, "reason permitted": true,
		"credential token": true, "allow tools/list": false,
	} {
		if got[key] != want {
			t.Errorf("Coverage()[%q] = %t, want %t", key, got[key], want)
		}
	}
	wanted := corpus.Wanted()
	for _, key := range []string{"allow tools/call", "deny unknown", "allow session/delete", "status 413", "reason batch", "credential forged"} {
		if !slices.Contains(wanted, key) {
			t.Errorf("Wanted() has no %q", key)
		}
	}
	for _, group := range []string{"allow mcp", "allow lifecycle", "allow use"} {
		if slices.Contains(wanted, group) {
			t.Errorf("Wanted() has %q, which is a group that no request asks about", group)
		}
	}
}
