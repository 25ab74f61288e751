package authztest

import (
	"bytes"
	"crypto/rand"
	"io"
	"maps"
	"net/http"
)

// The client that may ask an Issuer about opaque tokens.
const (
	IntrospectionClient = "gate"
	IntrospectionSecret = "gate & secret" // which has to be encoded, RFC 6749 §2.3.1
)

// MintOpaque returns an access token that says nothing by itself: what it is
// worth is asked at IntrospectionURI. The answer has the members of the payload
// that Mint makes, "active" and "token_type", and claims, which go before them;
// Absent leaves one out.
func (i *Issuer) MintOpaque(claims map[string]any) string {
	all := i.defaults(map[string]any{"active": true, "token_type": "Bearer"})
	maps.Copy(all, claims)
	raw := "opaque-" + rand.Text()
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.opaque == nil {
		i.opaque = map[string][]byte{}
	}
	i.opaque[raw] = encode(all)
	return raw
}

// Revoke makes an opaque token inactive.
func (i *Issuer) Revoke(raw string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.opaque, raw)
}

// IntrospectionURI is where IntrospectionClient asks about tokens (RFC 7662).
func (i *Issuer) IntrospectionURI() string { return i.origin() + i.introspection }

// serveIntrospection answers about opaque tokens.
func (i *Issuer) serveIntrospection(w http.ResponseWriter, r *http.Request, fault Fault) {
	client, secret, _ := r.BasicAuth()
	if client != IntrospectionClient || secret != "gate+%26+secret" {
		http.Error(w, "invalid_client", http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost || r.URL.RawQuery != "" {
		http.Error(w, "invalid_request", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch fault {
	case Huge:
		io.WriteString(w, `{"active":true,"padding":"`)
		w.Write(bytes.Repeat([]byte("x"), 10<<20))
		io.WriteString(w, `"}`)
		return
	case NotJSON:
		io.WriteString(w, "<!doctype html><title>Sign in</title>")
		return
	}
	raw := r.PostFormValue("token")
	i.mu.Lock()
	answer, known := i.opaque[raw]
	i.mu.Unlock()
	if !known {
		answer = []byte(`{"active":false}`)
	}
	w.Write(answer)
}
