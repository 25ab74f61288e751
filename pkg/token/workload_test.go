package token_test

import (
	"strings"
	"testing"

	"github.com/cedargate/cedargate/pkg/token"
)

func workloads(t *testing.T) *token.Verifier {
	t.Helper()
	v, err := token.New(token.Config{Now: now, Workloads: []token.Workload{
		{Name: "batch", TrustDomain: "example.org"},
		{Name: "mesh", TrustDomain: "mesh.example.org", Forwarded: true},
		{Name: "jobs", DNSDomain: "jobs.example.org"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWorkload(t *testing.T) {
	const id = "spiffe://example.org/ns/batch/sa/nightly"
	const far = "spiffe://mesh.example.org/ns/web"
	v := workloads(t)
	both := []string{"batch", "mesh", "jobs"}
	for _, test := range []struct {
		name   string
		peer   token.Peer
		accept []string
		want   string // "" is nobody
	}{
		{"the peer", token.Peer{Principal: id}, both, "batch/ns/batch/sa/nightly"},
		{"one that the server does not list", token.Peer{Principal: id}, []string{"mesh"}, ""},
		{"a server that lists none", token.Peer{Principal: id}, nil, ""},
		{"no certificate", token.Peer{}, both, ""},
		{"another trust domain", token.Peer{Principal: "spiffe://evil.example/ns/batch/sa/nightly"}, both, ""},
		{"a trust domain below", token.Peer{Principal: "spiffe://a.example.org/ns"}, both, ""},
		{"a trust domain in capitals", token.Peer{Principal: "spiffe://EXAMPLE.org/ns"}, both, ""},
		{"a port", token.Peer{Principal: "spiffe://example.org:443/ns"}, both, ""},
		{"a DNS name", token.Peer{Principal: "example.org"}, both, ""},
		{"another scheme", token.Peer{Principal: "https://example.org/ns"}, both, ""},
		{"no path", token.Peer{Principal: "spiffe://example.org"}, both, ""},
		{"an empty path", token.Peer{Principal: "spiffe://example.org/"}, both, ""},
		{"a final slash", token.Peer{Principal: id + "/"}, both, ""},
		{"an empty segment", token.Peer{Principal: "spiffe://example.org/ns//a"}, both, ""},
		{"a dot segment", token.Peer{Principal: "spiffe://example.org/ns/../a"}, both, ""},
		{"an encoded byte", token.Peer{Principal: "spiffe://example.org/ns%2fa"}, both, ""},
		{"a query", token.Peer{Principal: id + "?a"}, both, ""},
		{"NUL", token.Peer{Principal: id + "\x00"}, both, ""},
		{"a line break", token.Peer{Principal: id + "\n"}, both, ""},
		{"too long", token.Peer{Principal: id + strings.Repeat("a", 2048)}, both, ""},

		{"a DNS name below", token.Peer{Principal: "a.b.jobs.example.org"}, both, "jobs/a.b.jobs.example.org"},
		{"the DNS domain itself", token.Peer{Principal: "jobs.example.org"}, both, "jobs/jobs.example.org"},
		{"a DNS name that the server does not list", token.Peer{Principal: "a.jobs.example.org"}, []string{"batch"}, ""},
		{"a DNS name that only ends alike", token.Peer{Principal: "evil-jobs.example.org"}, both, ""},
		{"a DNS name that begins alike", token.Peer{Principal: "jobs.example.org.evil.example"}, both, ""},
		{"a wildcard", token.Peer{Principal: "*.jobs.example.org"}, both, ""},
		{"a DNS name in capitals", token.Peer{Principal: "A.jobs.example.org"}, both, ""},
		{"a final dot", token.Peer{Principal: "a.jobs.example.org."}, both, ""},
		{"an empty label", token.Peer{Principal: "a..jobs.example.org"}, both, ""},
		{"a subject", token.Peer{Principal: "CN=a.jobs.example.org"}, both, ""},
		{"a long DNS name", token.Peer{Principal: strings.Repeat("a.", 130) + "jobs.example.org"}, both, ""},
		{"a DNS name in a header", token.Peer{Forwarded: []string{"DNS=a.jobs.example.org", "URI=a.jobs.example.org"}}, both, ""},

		{"forwarded", token.Peer{Forwarded: []string{"By=spiffe://x/y;Hash=ab;URI=" + far}}, both, "mesh/ns/web"},
		{"in quotes", token.Peer{Forwarded: []string{`Subject="CN=a,O=\"b;c\"";uri="` + far + `";DNS=d`}}, both, "mesh/ns/web"},
		{"the last element", token.Peer{Forwarded: []string{"URI=spiffe://mesh.example.org/first,URI=" + far}}, both, "mesh/ns/web"},
		{"the last line", token.Peer{Forwarded: []string{"URI=spiffe://mesh.example.org/first", "URI=" + far}}, both, "mesh/ns/web"},
		{"a last element without one", token.Peer{Forwarded: []string{"URI=" + far + ",Hash=ab"}}, both, ""},
		{"an element inside quotes", token.Peer{Forwarded: []string{`Hash=ab;Subject="x,URI=` + far + `"`}}, both, ""},
		{"a quote that does not end", token.Peer{Forwarded: []string{`Subject="x,URI=` + far}}, both, ""},
		// The caller wrote what is before Hash, and has a certificate with a quote in
		// its subject and without a URI: the proxy appended the rest.
		{"a quote that reaches into the last element", token.Peer{Forwarded: []string{`URI=` + far + `;x=",Hash=ab;Subject="CN=a\"b"`}}, both, ""},
		{"the same in two lines", token.Peer{Forwarded: []string{`URI=` + far + `;x="`, `Hash=ab;Subject="CN=a\"b"`}}, both, ""},
		{"a quote inside a value", token.Peer{Forwarded: []string{`Subject=a"b";URI=` + far}}, both, ""},
		{"a quoted empty value", token.Peer{Forwarded: []string{`Subject="";URI=` + far}}, both, "mesh/ns/web"},
		{"two of them", token.Peer{Forwarded: []string{"URI=spiffe://mesh.example.org/a;URI=" + far}}, both, ""},
		{"what only the peer may be", token.Peer{Forwarded: []string{"URI=" + id}}, both, ""},
		{"what only is forwarded", token.Peer{Principal: far}, both, ""},
		{"an empty header", token.Peer{Forwarded: []string{""}}, both, ""},
	} {
		accept := token.Accept{Workloads: test.accept}
		got, err := v.Verify(t.Context(), token.Credential{Peer: test.peer}, accept)
		who := ""
		if err == nil {
			who = got.Issuer + "/" + got.Subject
		}
		if who != test.want || err == nil && got.Kind != token.Agent {
			t.Errorf("%s: Verify = %+v, %v, want %q", test.name, got, err, test.want)
		}
	}
}

// A certificate never rescues a bad token, and is no reason to refuse strangers.
func TestWorkloadGoesAfterTheToken(t *testing.T) {
	w := newWorld(t, nil)
	w.verifier = workloads(t)
	w.accept = token.Accept{Workloads: []string{"batch"}, Anonymous: true}
	peer := token.Peer{Principal: "spiffe://example.org/ns"}
	w.wantRefused(t, "a bad token beside it", token.Credential{Raw: "x", Peer: peer}, token.MalformedToken)
	w.wantRefused(t, "a bad key beside it", token.Credential{Raw: "cgk_x", Peer: peer}, token.MalformedAPIKey)
	got, err := w.verifier.Verify(t.Context(), token.Credential{Peer: token.Peer{Principal: "spiffe://other/ns"}}, w.accept)
	if err != nil || got.Kind != token.Anonymous {
		t.Errorf("Verify of a stranger = %+v, %v, want nobody in particular", got, err)
	}
}

func TestNewRefusesWorkloads(t *testing.T) {
	ok := token.Workload{Name: "batch", TrustDomain: "example.org"}
	issuer := token.Issuer{Name: "batch", Issuer: "https://login.example.com/", Keys: fixedKeys{}}
	for name, c := range map[string]token.Config{
		"no name":           {Workloads: []token.Workload{{TrustDomain: "example.org"}}},
		"name with a slash": {Workloads: []token.Workload{{Name: "a/b", TrustDomain: "example.org"}}},
		"no trust domain":   {Workloads: []token.Workload{{Name: "batch"}}},
		"no trust domain's": {Workloads: []token.Workload{{Name: "batch", TrustDomain: "spiffe://example.org"}}},
		"name twice":        {Workloads: []token.Workload{ok, {Name: "batch", TrustDomain: "other.org"}}},
		"domain twice":      {Workloads: []token.Workload{ok, {Name: "other", TrustDomain: "example.org"}}},
		"name of an issuer": {Workloads: []token.Workload{ok}, Issuers: []token.Issuer{issuer}},
		"name of API keys": {
			Workloads: []token.Workload{{Name: token.KeyIssuer, TrustDomain: "example.org"}},
			APIKeys:   []token.APIKey{{Name: "bot", Hash: token.HashOf("x")}},
		},
	} {
		if v, err := token.New(c); err == nil || v != nil {
			t.Errorf("%s: New = %v, %v, want an error", name, v, err)
		}
	}
}
