package authztest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// A Fault is something wrong with the documents of an Issuer.
type Fault byte

// The faults.
const (
	Healthy       Fault = iota
	Down                // 503
	Dropped             // the connection ends without an answer
	Slow                // no answer until the client goes, or Close
	Redirects           // 302 to a copy that would be good
	Huge                // 10 MB of key set
	NotJSON             // a key set that is a web page
	MalformedKey        // the good keys, and a point off its curve under the kid "malformed"
	AllMalformed        // no key that can be read
	NoKeys              // an empty key set
	WrongIssuer         // a metadata document that names another issuer
	InsecureKeys        // a metadata document whose jwks_uri is http, at another host
	WithoutKeyURI       // a metadata document without jwks_uri
)

// Break makes the Issuer faulty, or Healthy again.
func (i *Issuer) Break(f Fault) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault = f
}

// PublishKeySet serves body as the key set, whatever the keys are; nil ends
// that.
func (i *Issuer) PublishKeySet(body []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.raw = slices.Clone(body)
}

// good marks the targets of redirects.
const good = "/unbroken"

// ServeHTTP serves the documents. It is what the Issuer itself listens with,
// and is exported for those who want to serve it over TLS, or without a
// network.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, unbroken := strings.CutPrefix(r.URL.Path, good)
	i.mu.Lock()
	fault := i.fault
	switch {
	case unbroken:
		fault = Healthy
	case path == i.keySet:
		i.fetches.Keys++
	case path == i.introspection:
		i.fetches.Asked++
	default:
		i.fetches.Discovery++
	}
	i.mu.Unlock()

	switch fault {
	case Down:
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	case Dropped:
		panic(http.ErrAbortHandler)
	case Redirects:
		http.Redirect(w, r, good+r.URL.Path, http.StatusFound)
		return
	case Slow:
		select {
		case <-r.Context().Done():
		case <-i.closed:
		}
		return
	}
	switch {
	case path == i.keySet:
		i.serveKeys(w, fault)
	case path == i.introspection:
		i.serveIntrospection(w, r, fault)
	case slices.Contains(i.discovery, path):
		i.serveMetadata(w, fault)
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) serveMetadata(w http.ResponseWriter, fault Fault) {
	doc := map[string]any{
		"issuer":                   i.url,
		"jwks_uri":                 i.JWKSURI(),
		"response_types_supported": []string{"code"},
	}
	switch fault {
	case WrongIssuer:
		doc["issuer"] = "https://other.example.com"
	case InsecureKeys:
		doc["jwks_uri"] = "http://keys.example.com/keys"
	case WithoutKeyURI:
		delete(doc, "jwks_uri")
	}
	writeJSON(w, doc)
}

func (i *Issuer) serveKeys(w http.ResponseWriter, fault Fault) {
	switch fault {
	case Huge:
		io.WriteString(w, `{"padding":"`)
		w.Write(bytes.Repeat([]byte("x"), 10<<20))
		io.WriteString(w, `","keys":[]}`)
		return
	case NotJSON:
		io.WriteString(w, "<!doctype html><title>Sign in</title>")
		return
	}
	i.mu.Lock()
	raw := i.raw
	i.mu.Unlock()
	if raw != nil {
		w.Write(raw)
		return
	}
	malformed := map[string]any{"kty": "EC", "crv": "P-256", "kid": "malformed", "use": "sig", "x": "AQ", "y": "AQ"}
	entries := i.entries()
	switch fault {
	case MalformedKey:
		entries = append([]map[string]any{malformed}, entries...)
	case AllMalformed:
		entries = []map[string]any{malformed}
	case NoKeys:
		entries = []map[string]any{}
	}
	writeJSON(w, map[string]any{"keys": entries})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
