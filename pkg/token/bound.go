package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"strings"

	"github.com/cedargate/cedargate/pkg/internal/strictjson"
)

// A Binding is what a token is bound to (claim cnf, RFC 7800 §3.1): whoever
// bears it has to prove more than that. The zero Binding binds to nothing.
type Binding struct {
	Key         string // jkt, RFC 9449 §6.1: the thumbprint of a DPoP key
	Certificate string // x5t#S256, RFC 8705 §3.1: the hash of a client certificate
}

// checkBinding refuses a token that is not for whoever bears it, as far as that
// can be told without a signature.
func (v *Verifier) checkBinding(r *reading, accept Accept) *Error {
	bound, err := bindingOf(r.payload.Get("cnf"))
	if err != nil {
		return err
	}
	r.claims.Bound = bound
	if r.sent == nil { // inspected: there is no request
		return nil
	}
	return bound.fits(*r.sent, accept)
}

// bindingOf reads cnf. A member that is not understood may say that the token is
// bound to yet another thing, and all of them have to hold.
func bindingOf(cnf strictjson.Value) (Binding, *Error) {
	switch cnf.Kind() {
	case strictjson.Absent:
		return Binding{}, nil
	case strictjson.Object:
	default:
		return Binding{}, wrongKind("cnf")
	}
	var b Binding
	for _, m := range cnf.Members() {
		known := map[string]*string{"jkt": &b.Key, "x5t#S256": &b.Certificate}
		into := known[m.Name]
		switch {
		case into == nil:
			return Binding{}, refuse(BoundToken, "cnf", "cnf.%.40s is not understood", m.Name)
		case m.Value.Text() == "":
			return Binding{}, wrongKind("cnf")
		}
		*into = m.Value.Text()
	}
	if b == (Binding{}) {
		return Binding{}, refuse(BoundToken, "cnf", "cnf is empty")
	}
	return b, nil
}

// fits tells whether c can prove what b asks for: the scheme goes with the
// binding (RFC 9449 §7.2), there is one proof, and the certificate is the one.
func (b Binding) fits(c Credential, accept Accept) *Error {
	switch {
	case b.Key == "" && c.DPoP:
		return refuse(BoundToken, "", "sent as DPoP, and bound to no key")
	case b.Key != "" && !c.DPoP:
		return refuse(BoundToken, "cnf", "bound to a key, and sent as Bearer (RFC 9449 §7.2)")
	case b.Key == "" && accept.RequireDPoP:
		return refuse(BoundToken, "", "the server takes only tokens that are bound to a DPoP key")
	case b.Certificate != "" && c.Peer.thumbprint() != b.Certificate:
		return refuse(BoundToken, "cnf", "bound to a certificate that the proxy did not see (RFC 8705 §3)")
	case b.Key != "" && len(c.Proofs) != 1:
		return badProof("", "%d DPoP header fields, want one", len(c.Proofs))
	}
	return nil
}

// confirm returns who, if c proves what the token is bound to: its claims may
// have been verified long before this request.
func (v *Verifier) confirm(ctx context.Context, c Credential, who Claims, accept Accept) (Claims, error) {
	if err := who.Bound.fits(c, accept); err != nil {
		return Claims{}, err
	}
	if who.Bound.Key == "" {
		return who, nil
	}
	if err := v.checkProof(ctx, c, who.Bound.Key, accept); err != nil {
		return Claims{}, err
	}
	return who, nil
}

// A Peer is the other end of the TLS connection that the proxy terminated. The
// zero Peer has shown no certificate.
type Peer struct {
	// Principal is the name in its certificate, which the proxy has verified.
	Principal string
	// Certificate is the certificate, as PEM with percent-encoding (Envoy's
	// source.certificate).
	Certificate string
	// Forwarded are the values of x-forwarded-client-cert, in order.
	Forwarded []string
}

// thumbprint is the x5t#S256 of the certificate; "" if there is none that can
// be read.
func (p Peer) thumbprint() string {
	if p.Certificate == "" {
		return ""
	}
	text, err := url.PathUnescape(p.Certificate)
	if err != nil {
		return ""
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return ""
	}
	sum := sha256.Sum256(block.Bytes)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
