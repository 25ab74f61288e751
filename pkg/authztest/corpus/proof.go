package corpus

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedargate/cedargate/pkg/authz"
	"github.com/cedargate/cedargate/pkg/authztest"
)

// Proofs are the names of the DPoP proofs that a case can carry, sorted.
func Proofs() []string { return slices.Sorted(maps.Keys(proofs)) }

// proofs change the claims and the header of a good DPoP proof (RFC 9449 §4.2).
var proofs = map[string]func(header, payload map[string]any){
	"good":       func(_, _ map[string]any) {},
	"elsewhere":  func(_, payload map[string]any) { payload["htu"] = "https://elsewhere.example.com/mcp" },
	"get":        func(_, payload map[string]any) { payload["htm"] = "GET" },
	"old":        func(_, payload map[string]any) { payload["iat"] = 0 },
	"plain_jwt":  func(header, _ map[string]any) { header["typ"] = "JWT" },
	"other_hash": func(_, payload map[string]any) { payload["ath"] = hashOf("another token") },
}

// holder is the issuer whose key plays that of a client.
const holder = "holder"

// proof makes the DPoP proof of c for a request with this Authorization value.
func (w *World) proof(c Case, server authz.Server, authorization string) (string, error) {
	change := proofs[c.Proof]
	if change == nil {
		return "", fmt.Errorf("no proof %q", c.Proof)
	}
	_, raw, _ := strings.Cut(authorization, " ")
	i := w.issuers[holder]
	header := map[string]any{"typ": "dpop+jwt", "jwk": authztest.PublicJWK(i.PublicKey(""))}
	payload := map[string]any{"htm": or(c.Request.Method, "POST"), "htu": server.Resource, "ath": hashOf(raw)}
	change(header, payload)
	var options []authztest.MintOption
	for name, value := range header {
		options = append(options, authztest.WithHeader(name, value))
	}
	return i.Mint(payload, options...), nil
}

// boundTo is a token that is bound to the key of i, by its thumbprint (RFC 7638).
func (m minting) boundTo(i *authztest.Issuer) minting {
	k := authztest.PublicJWK(i.PublicKey(""))
	text := fmt.Sprintf(`{"crv":"%s","kty":"EC","x":"%s","y":"%s"}`, k["crv"], k["x"], k["y"])
	return m.with("cnf", map[string]any{"jkt": hashOf(text)})
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
