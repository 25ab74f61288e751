package jwks_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cedargate/cedargate/pkg/authztest"
	"github.com/cedargate/cedargate/pkg/jwks"
)

// A recorder notes the URLs of all requests.
type recorder struct {
	mu   sync.Mutex
	urls []string
}

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.urls = append(r.urls, request.URL.String())
	r.mu.Unlock()
	return http.DefaultTransport.RoundTrip(request)
}

// No request goes where neither the configuration nor a document by the rules
// leads: not to a host over http, not where a redirect points.
func TestNoRequestLeavesTheRules(t *testing.T) {
	const metadata = "/.well-known/oauth-authorization-server"
	tests := map[string]struct {
		fault authztest.Fault
		want  []string // paths at the issuer
	}{
		"insecure jwks_uri": {authztest.InsecureKeys, []string{metadata, "/.well-known/openid-configuration"}},
		"wrong issuer":      {authztest.WrongIssuer, []string{metadata, "/.well-known/openid-configuration"}},
		"redirect":          {authztest.Redirects, []string{metadata, "/.well-known/openid-configuration"}},
		"no answer":         {authztest.Dropped, []string{metadata}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			issuer := newIssuer(t, authztest.IssuerConfig{})
			issuer.Break(test.fault)
			requests := &recorder{}
			source := newSource(t, jwks.Config{Issuer: issuer.URL(), Transport: requests})
			if _, err := source.Key(t.Context(), "k", "ES256"); reason(err) != jwks.IssuerUnavailable {
				t.Errorf("Key = %v, want %s", err, jwks.IssuerUnavailable)
			}
			want := issuer.URL() + strings.Join(test.want, " "+issuer.URL())
			if got := strings.Join(requests.urls, " "); got != want {
				t.Errorf("requests %s, want %s", got, want)
			}
		})
	}
}

// Only 200 is an answer, however good the body looks.
func TestStatus(t *testing.T) {
	for status, want := range map[int]string{200: "", 203: jwks.IssuerUnavailable, 404: jwks.IssuerUnavailable, 500: jwks.IssuerUnavailable} {
		issuer := newIssuer(t, authztest.IssuerConfig{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			issuer.ServeHTTP(bodyOnly{w}, r)
		}))
		defer server.Close()
		keys := strings.TrimPrefix(issuer.JWKSURI(), issuer.URL())
		source := newSource(t, jwks.Config{Issuer: issuer.URL(), JWKSURI: server.URL + keys})
		if _, err := source.Key(t.Context(), issuer.KeyID(""), "ES256"); reason(err) != want {
			t.Errorf("Key after a status %d = %v, want %q", status, err, want)
		}
	}
}

// bodyOnly leaves the status as it is.
type bodyOnly struct{ http.ResponseWriter }

func (bodyOnly) WriteHeader(int) {}

// A key set that has moved is found again: the first request that fails at the
// old place makes the next one ask where it is.
func TestKeySetMoves(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	var place atomic.Int64
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/.well-known/oauth-authorization-server", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":"%s/keys/%d"}`, server.URL, server.URL, place.Load())
	})
	mux.HandleFunc("/keys/{place}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("place") != fmt.Sprint(place.Load()) {
			http.NotFound(w, r)
			return
		}
		r.URL.Path = strings.TrimPrefix(issuer.JWKSURI(), issuer.URL())
		issuer.ServeHTTP(w, r)
	})
	source := newSource(t, jwks.Config{Issuer: server.URL})
	wantKey(t, source, issuer, "ES256")
	place.Add(1)
	issuer.Rotate()
	if _, err := source.Key(t.Context(), issuer.KeyID(""), "ES256"); reason(err) != jwks.IssuerUnavailable {
		t.Errorf("Key while the set is not where it was = %v, want %s", err, jwks.IssuerUnavailable)
	}
	wantKey(t, source, issuer, "ES256")
}

// Over https the certificate decides: a server that nobody vouches for has no
// keys for us.
func TestCertificate(t *testing.T) {
	issuer := newIssuer(t, authztest.IssuerConfig{})
	server := httptest.NewUnstartedServer(issuer)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	at := server.URL + strings.TrimPrefix(issuer.JWKSURI(), issuer.URL())

	trusted := newSource(t, jwks.Config{Issuer: issuer.URL(), JWKSURI: at, Transport: server.Client().Transport})
	wantKey(t, trusted, issuer, "ES256")
	stranger := newSource(t, jwks.Config{Issuer: issuer.URL(), JWKSURI: at})
	if _, err := stranger.Key(t.Context(), issuer.KeyID(""), "ES256"); reason(err) != jwks.IssuerUnavailable {
		t.Errorf("Key from a server without a trusted certificate = %v, want %s", err, jwks.IssuerUnavailable)
	}
}
